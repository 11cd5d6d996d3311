"""What the README and the pages of docs/ say is so: examples run, links lead somewhere."""

import importlib
import inspect
import pathlib
import re
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

import tf_dwbp
from build_support import docs_site

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_PAGES = sorted(path for path in [*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md")])
_MODEL = """
import numpy as np, tensorflow as tf, tf_dwbp
layers = [tf.keras.layers.DepthwiseConv2D(3), tf.keras.layers.BatchNormalization(),
          tf.keras.layers.Flatten()]
model = tf.keras.Sequential(layers)
model.compile("sgd", "mse")
images, labels = np.ones([4, 5, 5, 2], "f"), np.ones([4, 18], "f")
"""
_TENSORS = """
import tensorflow as tf
x, w, b = tf.ones([2, 5, 5, 3]), tf.ones([3, 3, 3, 1]), tf.ones([3])
"""
# What the examples of a page take for granted.
_GIVEN = {"docs/swap.md": _MODEL, "docs/batch_norm.md": _MODEL, "docs/epilogues.md": _TENSORS}


def _name(path):
    return path.relative_to(_ROOT).as_posix()


def _examples(path):
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("path", [p for p in _PAGES if _examples(p)], ids=_name)
def test_examples_run(path):
    names = {}
    examples = _examples(path)
    for example in [_GIVEN.get(_name(path), ""), *examples]:
        exec(compile(example, _name(path), "exec"), names)
    for _ in range(sum(example.count("swap.install(") for example in examples)):
        tf_dwbp.swap.uninstall()
    if "kernel_gradient" in names:  # of the README's example, by TensorFlow's own ops
        with tf.GradientTape() as tape:
            output = tf.nn.depthwise_conv2d(names["images"], names["kernel"], [1, 2, 2, 1], "SAME")
            loss = tf.reduce_mean(output**2)
        expected = tape.gradient(loss, names["kernel"])
        np.testing.assert_allclose(names["kernel_gradient"], expected, rtol=1e-3, atol=1e-6)


def _anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


@pytest.mark.parametrize("path", _PAGES, ids=_name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file) if file else path
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
            assert anchor in map(_anchor, headings), target


def test_every_page_is_in_the_site():
    listed = (_ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = set(re.findall(r"^ +- (\S+\.md)$", listed, re.M))
    pages = {path.name for path in _ROOT.glob("docs/*.md")} | set(docs_site._PAGES.values())
    assert nav | {"index.md"} == pages


def test_links_of_the_roots_files_lead_to_the_sites_pages():
    text = "[a](docs/ops.md) [b](CONTRIBUTING.md) ![c](docs/bench.png) [d](https://e/docs/f)"
    assert docs_site.page_of(text) == (
        "[a](ops.md) [b](contributing.md) ![c](bench.png) [d](https://e/docs/f)"
    )


@pytest.mark.parametrize("name", ["nn", "ops", "keras", "swap"])
def test_examples_of_docstrings_run(name):
    module = importlib.import_module(f"tf_dwbp.{name}")
    examples = re.findall(r"^\n((?: {4}.*\n|\n(?= {4}))+)", f"{inspect.getdoc(module)}\n", re.M)
    assert len(examples) == 1
    names = {"tf": tf, "tf_dwbp": tf_dwbp, "keras": tf.keras}
    exec(_MODEL, names)
    exec(compile(textwrap.dedent(examples[0]), module.__file__, "exec"), names)
    if name == "keras":
        assert {type(layer) for layer in names["model"].layers} == {module.DepthwiseConv2D}
    elif name == "ops":
        assert names["gradient"].shape == names["images"].shape


def test_the_reference_has_all_public_names():
    names = [*docs_site.public_names()]
    assert {f"tf_dwbp.{name}" for name in ("ops.depthwise_conv2d", "swap.report.report")} < {*names}
    for name in names:
        owner, _, attribute = name.removesuffix(".report").rpartition(".")
        assert callable(getattr(importlib.import_module(owner), attribute)) or attribute == "OPS"
    page = " ".join(f'<h3 id="{name}">' for name in names)
    assert docs_site.lacking(page) == []
    assert docs_site.lacking(page.replace(names[3], "")) == [names[3]]


_DRAWN = {
    "kernels.md": ("cc/cpu/kernels", ("dwconv_*.h", "pack.h", "spread.h", "unpack.h")),
    "gpus.md": ("cc/gpu/kernels", ("filter_grad.cuh", "gather.cuh", "general.cuh", "tile.cuh")),
}


@pytest.mark.parametrize("page", _DRAWN)
def test_loops_and_drawings_are_those_of_the_kernels(page):
    folder, patterns = _DRAWN[page]
    text = (_ROOT / "docs" / page).read_text(encoding="utf-8")
    there = ["\n".join(map(str.rstrip, block)) for block in _blocks(text.splitlines(), "```")]
    for path in (path for pattern in patterns for path in (_ROOT / folder).glob(pattern)):
        drawings = []
        for comment in re.findall(r"(?:^//.*\n)+", path.read_text(encoding="utf-8"), re.M):
            lines = [line[2:] for line in comment.splitlines()]
            # What is set off by three blanks or more is a loop or a drawing.
            drawings.append("\n".join(line for line in lines if line.startswith("   ")))
        assert any(drawings), path
        for drawing in drawings:
            assert any(textwrap.dedent(drawing) in block for block in there), (path, drawing)


def _blocks(lines, fence):
    """The lines of each fenced block."""
    inside = None
    for line in lines:
        if line.startswith(fence):
            if inside is not None:
                yield inside
            inside = [] if inside is None else None
        elif inside is not None:
            inside.append(line)


def test_the_readmes_table_is_that_of_the_versions():
    """For stock: right, wrong (imprecise and never written, too), and refused."""
    versions = (_ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    found = {}
    for row in re.findall(
        r"^\| (stock \w+) \| (\w+) \| [^|]*2\.22\.0rc0 \| (.*) \|$", versions, re.M
    ):
        right, imprecise, wrong, refused, _, _, unwritten = map(int, row[2].split(" | "))
        found[row[1], row[0]] = f"{right} / {imprecise + wrong + unwritten} / {refused}"
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    titles = {
        "forward": "convolution",
        "input_grad": "gradient for the input",
        "filter_grad": "gradient for the filter",
    }
    for op, title in titles.items():
        stock = [found[op, f"stock {name}"] for name in ("Eigen", "oneDNN", "XLA")]
        assert f"| {title} | **480** / 0 / 0 | {' | '.join(stock)} |" in readme


def test_the_readme_is_short():
    assert len((_ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
