"""What the README and the pages of docs/ tell of speed: what is measured for it, and the texts."""

import argparse
import dataclasses
import datetime
import json
import math
import pathlib
import textwrap
from collections.abc import Callable

from tf_dwbp._version import __version__
from tf_dwbp.bench import runner, shapes
from tf_dwbp.bench.peers import COPY
from tf_dwbp.bench.results import Plan, Run, Summary
from tf_dwbp.tools import files, pages, plot

_PROGRAM = "tf-dwbp bench --docs"
PICTURE = "docs/bench.png"


@dataclasses.dataclass(frozen=True)
class Figure:
    """The mean and the worst of a group of shapes."""

    peer: str
    op: str = "input_grad"
    dtype: str = "float32"
    layout: str = "NHWC"
    group: str | None = shapes.CORE  # None: all shapes
    of_copy: bool = False  # the copy's time divided by ours, not the peer's
    cold: bool = False
    epilogue: str = ""


# What figures of one run have in common; a Plan has the same fields.
_OF_RUN = ("peer", "op", "dtype", "layout", "cold", "epilogue")


def _run_key(of: Figure | Plan) -> tuple:
    return tuple(getattr(of, name) for name in _OF_RUN)


DRAWN = Figure("onednn", group=None)

# What the first table has of each figure: call, peer, goals; {} is the number of shapes.
INPUT_GRADIENT = (
    (
        "float NHWC",
        "TensorFlow with oneDNN, its default",
        Figure("onednn"),
        "2.2 / 1.2",
    ),
    (
        "float NHWC",
        "TensorFlow's Eigen kernels, oneDNN off for both",
        Figure("eigen"),
        "5 / 1.5",
    ),
    ("bfloat16 NHWC", "TensorFlow with oneDNN", Figure("onednn", dtype="bfloat16"), "4 / 1.3"),
    ("half NHWC", "TensorFlow", Figure("onednn", dtype="float16"), "10 / 3"),
    ("double NHWC", "TensorFlow", Figure("onednn", dtype="float64"), "3 / 1.2"),
    ("float NCHW", "TensorFlow with oneDNN", Figure("onednn", layout="NCHW"), "3 / 1.2"),
    (
        "bfloat16 NCHW",
        "TensorFlow with oneDNN",
        Figure("onednn", dtype="bfloat16", layout="NCHW"),
        "15 / 2",
    ),
    (
        "float NHWC, dilated ({} shapes of DeepLab)",
        "`tf.nn.depthwise_conv2d`'s gradient, through SpaceToBatch",
        Figure("dilated", group="dilated"),
        "4 / 2",
    ),
    (
        "float NHWC 3x3, batch 32 ({} shapes)",
        "share of a copy of the same bytes",
        Figure("onednn", group="3x3-b32", of_copy=True),
        "85 % / 60 %",
    ),
    ("float NHWC", "PyTorch, channels_last", Figure("torch"), "2.5 / 1.1"),
    ("float NHWC", "TensorFlow's XLA", Figure("xla"), ""),
)
# The second table's columns, and its rows: type, peer, goals.
OTHER_OPS = {"forward": "forward", "filter_grad": "filter gradient", "backward": "both gradients"}
OTHERS = (
    (
        "float",
        "TensorFlow with oneDNN",
        Figure("onednn"),
        {"forward": "2.0 / 1.1", "filter_grad": "2.5 / 1.1", "backward": ""},
    ),
    (
        "float",
        "TensorFlow's Eigen kernels",
        Figure("eigen"),
        {"forward": "4", "filter_grad": "4", "backward": ""},
    ),
    (
        "bfloat16",
        "TensorFlow with oneDNN",
        Figure("onednn", dtype="bfloat16"),
        {"forward": "2.0 / 1.1", "filter_grad": "2.5 / 1.1"},
    ),
)
# The third table's columns, and its rows: other tensors each time.
COLD_OPS = {
    "input_grad": "input gradient",
    "forward": "forward",
    "filter_grad": "filter gradient",
}
COLD = (
    ("float", "TensorFlow with oneDNN", Figure("onednn", cold=True)),
    ("bfloat16", "TensorFlow with oneDNN", Figure("onednn", dtype="bfloat16", cold=True)),
    ("float", "PyTorch, channels_last", Figure("torch", cold=True)),
    (
        "float 3x3, batch 32 ({} shapes)",
        "share of a copy of the same bytes",
        Figure("onednn", group="3x3-b32", of_copy=True, cold=True),
    ),
)
# The rows of the table of stock's fused ops.
EPILOGUES = tuple(
    Figure("onednn", "forward", dtype, epilogue=epilogue)
    for dtype in ("float32", "bfloat16")
    for epilogue in ("bias", "bias+relu6", "bias+elu")
)
# What the README tells, in its order.
_IN_README = tuple(Figure("onednn", dtype=dtype) for dtype in ("float32", "bfloat16", "float16"))


def figures() -> list[Figure]:
    """All figures of the pages and the picture."""
    others = [dataclasses.replace(row[2], op=op) for row in OTHERS for op in row[3]]
    cold = [dataclasses.replace(row[2], op=op) for row in COLD for op in COLD_OPS]
    return [DRAWN, *(row[2] for row in INPUT_GRADIENT), *others, *cold, *EPILOGUES, *_IN_README]


@dataclasses.dataclass
class Measurement:
    """The runs that the pages tell of."""

    date: str
    version: str  # of the package
    quick: bool  # a few shapes of each group alone
    runs: list[Run]

    @property
    def failed(self) -> bool:
        return any(run.failed for run in self.runs)

    @property
    def missing(self) -> int:
        """Runs that were not made, since it was cut off."""
        return len({_run_key(figure) for figure in figures()}) - len(self.runs)

    def run(self, figure: Figure) -> Run:
        """The run that has a figure. Raises LookupError if there is none."""
        for run in self.runs:
            if _run_key(run.plan) == _run_key(figure):
                return run
        raise LookupError(f"no run has {figure}")

    def summary(self, figure: Figure) -> Summary | None:
        """The figure; None where nothing could be compared, or was measured."""
        try:
            run = self.run(figure)
        except LookupError:
            return None
        return run.summary(COPY if figure.of_copy else figure.peer, figure.group)

    def to_json(self) -> dict:
        head = {"date": self.date, "version": self.version, "quick": self.quick}
        return {"docs": head, "runs": [run.to_json() for run in self.runs]}

    @classmethod
    def from_json(cls, data: dict) -> "Measurement":
        """Raises KeyError, TypeError or LookupError if the data are not a measurement's."""
        found = cls(**data["docs"], runs=[Run.from_json(run) for run in data["runs"]])
        found.run(DRAWN)  # the first
        return found

    def save(self, path: pathlib.Path) -> None:
        files.write(path, json.dumps(self.to_json(), allow_nan=False, indent=1) + "\n")


def measure(
    threads: int,
    rounds: int,
    quick: bool,
    progress: runner.Progress,
    keep: Callable[[Measurement], None] = lambda _: None,
) -> Measurement:
    """Measures all figures.

    Args:
      threads: as a plan has it.
      rounds: as a plan has it.
      quick: measure a few shapes of each group alone.
      progress: hears of shapes as that of `runner.run` does.
      keep: gets what there is after each run. All of them take half an hour.
    """
    selected: dict[tuple, list[shapes.AnyShape]] = {}
    for figure in figures():
        found = selected.setdefault(_run_key(figure), [])
        for shape in shapes.select(group=figure.group):
            if shape not in found and (not quick or shapes.QUICK in shape.groups):
                found.append(shape)
    total = sum(map(len, selected.values()))
    done = 0
    found = Measurement(datetime.date.today().isoformat(), __version__, quick, [])
    for key, chosen in selected.items():
        before = done

        def hear(what, of_this, _, before=before):
            progress(what, before + of_this, total)

        plan = Plan(threads=threads, rounds=rounds, **dict(zip(_OF_RUN, key, strict=True)))
        found.runs.append(runner.run(plan, chosen, hear))
        done += len(chosen)
        keep(found)
    return found


def measured_text(found: Measurement) -> str:
    """When and on what."""
    drawn = found.run(DRAWN)
    machine = drawn.machine
    others = dict.fromkeys(run.machine["peer"] for run in found.runs if "peer" in run.machine)
    software = ", ".join([f"TensorFlow {machine['tensorflow']}", *others])
    parts = [
        f"Measured on {found.date} with tf_dwbp {found.version}, {software}",
        f"{machine['cpu']}, {machine['threads']} threads, a matrix multiplication of "
        f"{drawn.matmul_rate / 1e9:.0f} GFLOP/s",
        f"medians of {drawn.plan.rounds} blocks",
    ]
    if found.quick:
        parts.append("a few shapes of each group alone (`--quick`): no figures to go by")
    if found.missing:
        parts.append(f"cut off before the last {found.missing} runs")
    return textwrap.fill(f"{'; '.join(parts)}.", width=100)


def input_gradient_table(found: Measurement) -> str:
    """The first table."""
    lines = [
        "| the input's gradient | over | geometric mean | worst shape | goal |",
        "|---|---|---:|---:|---|",
    ]
    for call, peer, figure, goal in INPUT_GRADIENT:
        summary = found.summary(figure)
        write = _percent if figure.of_copy else _ratio
        shown = (write(summary.mean), write(summary.worst)) if summary else ("–", "–")
        title = call.format(summary.count if summary else 0)
        lines.append(f"| {title} | {peer} | {' | '.join(shown)} | {goal} |".replace("  |", " |"))
    return "\n".join(lines)


def other_ops_table(found: Measurement) -> str:
    """The second table."""
    lines = [f"| NHWC | over | {' | '.join(OTHER_OPS.values())} |", "|---|---|---:|---:|---:|"]
    for dtype, peer, figure, goals in OTHERS:
        cells = []
        for op in OTHER_OPS:
            summary = op in goals and found.summary(dataclasses.replace(figure, op=op))
            cells.append(f"{_ratio(summary.mean)} / {_ratio(summary.worst)}" if summary else "")
        for head, texts in (
            (f"{dtype} | {peer}", cells),
            ("goal | ", [goals.get(op, "") for op in OTHER_OPS]),
        ):
            lines.append(f"| {head} | {' | '.join(texts)} |".replace("  |", " |"))
    return "\n".join(lines)


def cold_table(found: Measurement) -> str:
    """The third table."""
    lines = [f"| NHWC | over | {' | '.join(COLD_OPS.values())} |", "|---|---|---:|---:|---:|"]
    for dtype, peer, figure in COLD:
        summaries = [found.summary(dataclasses.replace(figure, op=op)) for op in COLD_OPS]
        write = _percent if figure.of_copy else _ratio
        cells = [f"{write(s.mean)} / {write(s.worst)}" if s else "–" for s in summaries]
        title = dtype.format(summaries[0].count if summaries[0] else 0)
        lines.append(f"| {title} | {peer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def epilogues_table(found: Measurement) -> str:
    """Stock's fused ops."""
    lines = ["| | geometric mean | worst layer |", "|---|---:|---:|"]
    for figure in EPILOGUES:
        summary = found.summary(figure)
        shown = (_ratio(summary.mean), _ratio(summary.worst)) if summary else ("–", "–")
        title = f"{figure.dtype}, {figure.epilogue.replace('+', ' + ')}"
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return "\n".join(lines)


def readme_text(found: Measurement) -> str:
    """The README's sentence."""
    summaries = [found.summary(figure) for figure in _IN_README]
    times = [f"{summary.mean:.2g}" if summary else "–" for summary in summaries]
    machine = found.run(DRAWN).machine
    count = summaries[0].count if summaries[0] else 0
    return textwrap.fill(
        f"The input's gradient in float takes stock's default {times[0]} times as long as ours, "
        f"bfloat16 {times[1]} times, half {times[2]} times: geometric means of {count} layers of "
        f"real models, with {machine['threads']} threads ({machine['cpu']}).",
        width=100,
    )


# Page -> its parts and what makes them.
PARTS: dict[str, dict[str, Callable[[Measurement], str]]] = {
    "docs/speed.md": {
        "measured": measured_text,
        "the input's gradient": input_gradient_table,
        "the other ops": other_ops_table,
        "other tensors each time": cold_table,
    },
    "docs/epilogues.md": {"measured": measured_text, "stock's fused ops": epilogues_table},
    "README.md": {"speed": readme_text},
}


def folder(text: str) -> pathlib.Path:
    """A repository whose pages have all the marks and can be written, for `argparse`."""
    root = pathlib.Path(text)
    try:
        for page in PARTS:
            _with_parts(root, page, lambda _: "")
            files.check_writable(root / page)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(
            f"{text} is no clone of the repository: {root / page}: {why}"
        ) from None
    plot.plottable(str(root / PICTURE))
    return root


def write_page(root: pathlib.Path, page: str, found: Measurement) -> None:
    """Puts the texts between a page's marks."""
    files.write(root / page, _with_parts(root, page, lambda make: make(found)))


def _with_parts(root, page, text_of):
    text = files.read_text(root / page)
    for part, make in PARTS[page].items():
        text = pages.put_into(text, f"\n{text_of(make)}\n", *pages.marks(part, _PROGRAM))
    return text


def _ratio(value):
    """With three digits, where these are not more than two behind the point."""
    digits = min(2, max(0, 2 - math.floor(math.log10(value))))
    return f"{value:.{digits}f}"


def _percent(share):
    return f"{share * 100:.0f} %"
