"""What all reports say: the groups of the table, glyphs, and the closing line."""

import collections
import dataclasses

from tf_dwbp.conformance.cases import DTYPES, LAYOUTS, OPS, PADDINGS
from tf_dwbp.conformance.results import Cell, Run
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools.epilogue import ACTIVATIONS

GLYPHS = {
    Verdict.AGREES: "✓",
    Verdict.BARRED: "·",
    Verdict.IMPRECISE: "~",
    Verdict.SKIPPED: "?",
    Verdict.REFUSES: "–",
    Verdict.ELSEWHERE: "@",
    Verdict.WRONG: "✗",
    Verdict.HANGS: "∞",
    Verdict.DIES: "†",
}
MEANINGS = {
    Verdict.AGREES: "agrees with the float64 reference",
    Verdict.BARRED: "barred by TensorFlow from every device",
    Verdict.IMPRECISE: "imprecise: as if accumulated in the dtype",
    Verdict.SKIPPED: "not asked",
    Verdict.REFUSES: "refuses",
    Verdict.ELSEWHERE: "ran elsewhere than on the device",
    Verdict.WRONG: "WRONG",
    Verdict.HANGS: "hangs",
    Verdict.DIES: "dies",
}
_VERBS = {Verdict.AGREES: "agree", Verdict.REFUSES: "refuse", Verdict.HANGS: "hang"}
_VERBS[Verdict.DIES] = "die"


@dataclasses.dataclass(frozen=True)
class Tally:
    """How one path, or the worst of several, fares in a group of cells."""

    verdict: Verdict  # the worst
    agreeing: int
    total: int

    @classmethod
    def of(cls, cells: list[Cell], paths: list[str]) -> "Tally":
        verdicts = [cell.outcome(*paths).verdict for cell in cells]
        worst = max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.AGREES)
        return cls(worst, verdicts.count(Verdict.AGREES), len(verdicts))

    @property
    def text(self) -> str:
        """The worst verdict's glyph, and the percentage of cells that agree unless all do."""
        if not self.total:
            return ""
        if self.verdict is Verdict.AGREES:
            return GLYPHS[self.verdict]
        return f"{GLYPHS[self.verdict]}{100 * self.agreeing // self.total:2d}"


@dataclasses.dataclass(frozen=True)
class Table:
    """Groups of cells by row and by column, with the labels of the columns.

    Rows are of (dtype, layout), those of the epilogues of (activation,).
    """

    title: str
    lanes: dict[str, list[str]]  # side by side in each group: paths that were asked, by label
    rows: list[tuple[str, ...]]
    columns: dict[tuple, str]
    groups: dict[tuple, list[Cell]]
    is_detailed: bool = True  # worth showing cell by cell where there is room


ORDERS = {1: "gradients", 2: "second order"}


def tables(run: Run) -> list[Table]:
    """A table for each op, by (padding, dilated); one for epilogues, by dtype; one for gradients,
    by (op, order); real sizes.

    In these an implementation's executions are one lane. Where there are several, one more table,
    by (op, whether a gradient), has them side by side.
    """
    by_padding = {
        (padding, dilated): f"{padding}, {'dilated' if dilated else 'dilation 1'}"
        for padding in PADDINGS
        for dilated in (False, True)
    }
    by_order = {(op, order): f"{op}, {name}" for op in OPS for order, name in ORDERS.items()}
    by_kind = {
        (op, kind): f"{op}{', gradients' if kind else ''}" for op in OPS for kind in (False, True)
    }
    by_op = {(op,): op for op in OPS}
    by_dtype = {(dtype,): dtype for dtype in DTYPES}
    small, large = (
        [c for c in run.cells if c.case.is_large == is_large] for is_large in (False, True)
    )
    fused = [cell for cell in small if cell.case.epilogue]
    found = []
    for op in OPS:
        cells = [c for c in small if c.case.op == op and not (c.case.order or c.case.epilogue)]
        found.append(_table(op, run.lanes, cells, ("padding", "dilated"), by_padding))
    by_activation = {"row_axes": ("activation",), "rows": [(name,) for name in ACTIVATIONS]}
    found.append(_table("epilogues", run.lanes, fused, ("dtype",), by_dtype, **by_activation))
    cells = [cell for cell in run.cells if cell.case.order]
    found.append(_table("gradients", run.lanes, cells, ("op", "order"), by_order))
    found.append(_table("real sizes", run.lanes, large, ("op",), by_op))
    for lane, paths in run.lanes.items():
        if len(paths) > 1:
            executions = {path.removeprefix(f"{lane} "): [path] for path in paths}
            kinds = (executions, run.cells, ("op", "is_gradient"), by_kind)
            found.append(_table(f"{lane} by execution", *kinds, is_detailed=False))
    return [table for table in found if table.rows]


_BY_TYPE = [(dtype, layout) for dtype in DTYPES for layout in LAYOUTS]


def _table(
    title, lanes, cells, axes, columns, row_axes=("dtype", "layout"), rows=_BY_TYPE, **options
):
    groups = collections.defaultdict(list)  # where cells are few, some are empty
    for cell in cells:
        case = cell.case
        key = tuple(tuple(getattr(case, axis) for axis in of) for of in (row_axes, axes))
        groups[key].append(cell)
    return Table(
        title,
        {
            label: paths
            for label, paths in lanes.items()
            if any(path in cell.outcomes for path in paths for cell in cells)
        },
        [row for row in rows if any(key[0] == row for key in groups)],
        {column: label for column, label in columns.items() if any(k[1] == column for k in groups)},
        groups,
        **options,
    )


def occurs(run: Run, verdict: Verdict) -> bool:
    return any(verdict in run.counts(path) for path in run.paths)


def legend(run: Run) -> str:
    """What the glyphs that occur mean."""
    glyphs = ", ".join(f"{GLYPHS[v]} {MEANINGS[v]}" for v in Verdict if occurs(run, v))
    return f"{glyphs}. Each group: its worst verdict, and the % of its cells that agree."


def line(run: Run) -> str:
    """The whole run in one line."""
    cells = "1 cell" if len(run.cells) == 1 else f"{len(run.cells):,} cells"
    parts = []
    for path in run.paths:
        counts = [
            f"{count:,} {_VERBS.get(verdict, verdict.value)}"
            for verdict, count in run.counts(path).items()
        ]
        if path in run.judged:
            failing = sum(any(f.path == path for f in cell.failures) for cell in run.cells)
            known = sum(any(f.path == path for f in cell.known) for cell in run.cells)
            as_expected = [f"{known:,} fail as expected"] if known or run.unmet is not None else []
            counts += [f"{failing:,} fail", *as_expected]
        parts.append(f"{path} {', '.join(counts)}")
    return f"{cells}: {' | '.join(parts)}"


def tightest(run: Run) -> str:
    """How near the judged paths came to their bounds."""
    found: dict[str, list[str]] = {}  # what is said -> of which paths
    for path in run.judged:
        asked = [cell for cell in run.cells if path in cell.outcomes]
        outcomes = [(cell.outcome(path), cell.case.id) for cell in asked]
        agreeing = [(o.ratio, name) for o, name in outcomes if o.ratio and not o.message]
        if agreeing:
            ratio, name = max(agreeing)
            text = f"closest call {ratio:.2f} of the error bound ({name})"
            found.setdefault(text, []).append(path)
    return "; ".join(f"{', '.join(paths)}: {text}" for text, paths in found.items())


def software(run: Run) -> str:
    """What was judged, and TensorFlow if it took part, with their versions."""
    found = {"TensorFlow": run.tensorflow_version} if run.tensorflow_version else {}
    return ", ".join(f"{name} {version}" for name, version in (found | run.versions).items())


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
