"""`tf-dwbp diff`: what two conformance runs of the same cells found, side by side.

Both are read from what --json wrote: of two versions of TensorFlow, or before and after a patch.
Neither TensorFlow nor a library is loaded.
"""

import collections
import dataclasses
import enum
import functools
import json

from tf_dwbp.conformance import repeat, saved, summary
from tf_dwbp.conformance.cases import OPS
from tf_dwbp.conformance.results import DIFFERS, Cell, Run
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools import console, files
from tf_dwbp.tools.targets import STOCK

_DESCRIPTION = """\
Compares two files that `tf-dwbp conformance --json` wrote, of two versions of TensorFlow or before
and after a patch: what became worse, better, or different (the same verdict with a larger error or
for another reason). Exit status: 0 if nothing is worse, 1 if something is, 2 if a file cannot be
read or written."""

_MOST_CELLS = 20  # of each kind, on a terminal

# An error that is larger by less is rounding; a small part of its bound is of no interest.
_LARGER, _NOTEWORTHY = 2, 0.5

_RANKS = {Verdict.AGREES.value: 0, DIFFERS: 0.5}
_RANKS |= {verdict.value: verdict.severity for verdict in Verdict if verdict.severity}


class Change(str, enum.Enum):
    """What became of what a path does with a cell."""

    WORSE = "worse"
    DIFFERENT = "different"
    BETTER = "better"
    SAME = "same"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclasses.dataclass(frozen=True)
class Side:
    """What a path did with a cell in one of the runs."""

    kind: str  # the verdict, or that bits differ
    outcome: Outcome

    def __str__(self):
        evidence = self.outcome.evidence.split("\n")[0].strip()
        return f"{self.kind}: {evidence}" if evidence else self.kind

    def to_json(self) -> dict:
        return {"kind": self.kind, **self.outcome.to_json()}


@dataclasses.dataclass(frozen=True)
class Pair:
    """Both sides, None where a run has no such cell, or did not ask the path for it."""

    cell: Cell  # of B, unless only A has it
    path: str
    a: Side | None
    b: Side | None

    @functools.cached_property
    def change(self) -> Change:
        if self.a is None or self.b is None:
            return Change.ONLY_B if self.a is None else Change.ONLY_A
        kinds = {self.a.kind, self.b.kind}
        if len(kinds) == 1:
            return Change.DIFFERENT if _is_noteworthy(self.a, self.b) else Change.SAME
        if Verdict.SKIPPED.value in kinds:  # nobody knows
            return Change.DIFFERENT
        return Change.WORSE if _RANKS[self.a.kind] < _RANKS[self.b.kind] else Change.BETTER


def _is_noteworthy(a, b):
    """Whether the same verdict stands for something else."""
    if a.kind in (Verdict.REFUSES.value, Verdict.DIES.value):
        return a.outcome.message.split("\n")[0] != b.outcome.message.split("\n")[0]
    ratios = [side.outcome.ratio for side in (a, b)]
    if None in ratios:  # no finite error, or no error at all: a shape, say
        return (ratios[0] is None) != (ratios[1] is None)
    return ratios[1] > max(_LARGER * ratios[0], _NOTEWORTHY)


def pairs(a: Run, b: Run) -> list[Pair]:
    """Every path's doing with every cell, in A's order, then what only B has."""
    sides = [_sides(run, _names(run, a.target != b.target)) for run in (a, b)]
    cells = [{cell.case.id: cell for cell in run.cells} for run in (a, b)]
    return [
        Pair(
            cells[1].get(key[0]) or cells[0][key[0]],
            key[1],
            *(found.get(key) for found in sides),
        )
        for key in dict.fromkeys([*sides[0], *sides[1]])
    ]


def _names(run, other_target):
    """The paths by name; what is judged by its execution, where two functions are compared."""
    judged = run.judged if other_target and run.target != STOCK else []
    return {path: path.rpartition(" ")[2] if path in judged else path for path in run.paths}


def _sides(run, names):
    found = {}
    for cell in run.cells:
        differ = {failure.path for failure in cell.failures if failure.kind == DIFFERS}
        for path in cell.outcomes:
            outcome = cell.outcome(path)
            kind = DIFFERS if path in differ else outcome.verdict.value
            found[cell.case.id, names[path]] = Side(kind, outcome)
    return found


def counts(found: list[Pair]) -> dict[tuple[str, str], collections.Counter]:
    """How many changes of each kind, by op (or its gradients) and path."""
    table = {}
    for pair in found:
        row = _op(pair.cell.case), pair.path
        table.setdefault(row, collections.Counter())[pair.change] += 1
    paths = list(dict.fromkeys(pair.path for pair in found))

    def place(row):
        op, _, order = row[0].partition(", ")
        return OPS.index(op), order, paths.index(row[1])

    return {row: table[row] for row in sorted(table, key=place)}


def _op(case):
    of = summary.ORDERS[case.order] if case.order else "epilogues" if case.epilogue else ""
    return f"{case.op}, {of}" if of else case.op


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    for name in ("A", "B"):
        parser.add_argument(name.lower(), type=_file, metavar=f"{name}.json")
    parser.add_argument(
        "--json", type=console.writable, metavar="FILE", help="write every change with its evidence"
    )
    parser.set_defaults(run=_run)


def _file(text):
    return text, console.readable(text, saved.read)


def _run(arguments):
    (name_a, a), (name_b, b) = arguments.a, arguments.b
    found = pairs(a, b)
    lines = [
        f"{side}: {name}: {run.subject}, {summary.software(run)}"
        for side, name, run in (("A", name_a, a), ("B", name_b, b))
    ]
    complete = console.write_files(
        [(arguments.json, lambda path: files.write(path, _json(a, b, found)))]
    )
    _show(lines, found, a, b)
    worse = any(pair.change is Change.WORSE for pair in found)
    return 2 if not complete else 1 if worse else 0


def _json(a, b, found):
    data = {
        **{
            side: {"target": run.target, "tensorflow_version": run.tensorflow_version}
            for side, run in (("a", a), ("b", b))
        },
        "counts": [
            {"op": op, "path": path, **{change.value: row[change] for change in Change}}
            for (op, path), row in counts(found).items()
        ],
        "cells": [
            {
                "id": pair.cell.case.id,
                "path": pair.path,
                "change": pair.change.value,
                **{
                    name: side.to_json()
                    for name, side in (("a", pair.a), ("b", pair.b))
                    if side is not None
                },
                "repeat": _line(pair, a, b),
            }
            for pair in found
            if pair.change is not Change.SAME
        ],
    }
    return json.dumps(data, allow_nan=False) + "\n"


def _line(pair, a, b):
    return repeat.line(a if pair.b is None else b, pair.cell)


def _show(lines, found, a, b):
    import rich.table

    terminal = console.terminal()
    if not terminal.is_terminal:
        terminal.width = max(terminal.width, 120)

    def show(text, style=""):
        terminal.print(text, style=style, soft_wrap=True, markup=False)

    table = rich.table.Table(header_style="bold")
    for heading in ("", "path", *Change):
        table.add_column(heading.value if heading in [*Change] else heading)
    for (op, path), row in counts(found).items():
        table.add_row(op, path, *(f"{row[change]:,}" if row[change] else "" for change in Change))
    for line in lines:
        show(line)
    if found:
        terminal.print(table)
    totals = collections.Counter(pair.change for pair in found)
    for change in (Change.WORSE, Change.DIFFERENT, Change.BETTER, Change.ONLY_A, Change.ONLY_B):
        some = [pair for pair in found if pair.change is change]
        for pair in some[:_MOST_CELLS]:
            show(f"\n{change.value}: {pair.cell.case.id}, {pair.path}", "bold")
            for name, side in (("A", pair.a), ("B", pair.b)):
                if side:
                    show(f"  {name}: {side}")
            show(f"  {_line(pair, a, b)}")
        if len(some) > _MOST_CELLS:
            show(f"\nand {len(some) - _MOST_CELLS:,} more {change.value}: --json FILE has them")
    show("")
    show(
        ", ".join(f"{totals[change]:,} {change.value}" for change in Change),
        "bold red" if totals[Change.WORSE] else "bold green",
    )
