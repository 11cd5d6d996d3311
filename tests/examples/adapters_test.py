"""The adapters of other frameworks: short, and judged where their framework is installed."""

import collections
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).absolute().parents[2]
_FOLDER = _ROOT / "examples" / "targets"
_LONGEST = 40  # lines

_ALL = ("forward", "input_grad", "filter_grad")
# What each needs, the ops that it has, and how many of the quick cut's cells of type float are
# right at least: that it did not refuse them all.
_ADAPTERS = {
    "jax_lax": (["jax"], _ALL, 120),
    "litert": (["ai_edge_litert", "flatbuffers"], _ALL[:1], 30),
    "onnx_runtime": (["onnx", "onnxruntime"], _ALL[:2], 50),
    "openvino_cpu": (["openvino"], _ALL[:2], 40),
    "pytorch": (["torch"], _ALL, 50),
}
_OPS = [(name, op) for name, (_, ops, _) in _ADAPTERS.items() for op in ops]


def _missing(name):
    return [module for module in _ADAPTERS[name][0] if not importlib.util.find_spec(module)]


def _judge(name, op, *arguments):
    target = ("--target", f"examples.targets.{name}:{op}", "--arrays", "numpy", "--op", op)
    return subprocess.run(
        [sys.executable, "-m", "tf_dwbp", "conformance", *target, "--dtype", "float", *arguments],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )


def test_all_adapters_are_tested():
    assert sorted(path.stem for path in _FOLDER.glob("*.py")) == sorted(_ADAPTERS)


@pytest.mark.parametrize("name", _ADAPTERS)
def test_an_adapter_is_short_and_hides_no_module(name):
    text = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= _LONGEST
    assert importlib.util.find_spec(name) is None
    for op in _ADAPTERS[name][1]:
        assert f"\ndef {op}(" in text


@pytest.mark.parametrize(("name", "op"), _OPS)
def test_an_adapter_is_right_or_refuses(name, op, tmp_path):
    if missing := _missing(name):
        pytest.skip(f"{', '.join(missing)} is not installed")
    file = tmp_path / "run.json"
    done = _judge(name, op, "--quick", "--json", file)
    assert file.exists(), done.stderr
    run = json.loads(file.read_text(encoding="utf-8"))
    counts = collections.Counter(run["counts"][f"{op} eager"])
    assert counts.keys() <= {"agrees", "refuses"}, done.stdout
    assert counts["agrees"] >= _ADAPTERS[name][2]
    assert done.returncode == (1 if counts["refuses"] else 0)
    assert set(_ADAPTERS[name][0]) <= set(run["versions"])


@pytest.mark.parametrize("name", _ADAPTERS)
def test_a_framework_that_is_not_installed(name):
    if not _missing(name):
        pytest.skip("it is installed")
    done = _judge(name, "forward", "--quick")
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("tf-dwbp conformance: ")
    assert "ModuleNotFoundError: No module named" in line


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
