"""Writes what a run found as a file of expectations: a line for a group, or for a single cell.

A group is what a pattern matches, all of which fails in the same way. To find it, the axes of a
cell that fails become wildcards one after the other, as long as nothing else comes in.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from tf_dwbp.conformance.expectations import AGREES, BESIDE, GIVEN_UP, SKIPPED, Entry, found
from tf_dwbp.conformance.results import Run
from tf_dwbp.tools import files
from tf_dwbp.tools.targets import OURS, STOCK

_LEAST_GROUP = 4  # cells: fewer are listed one by one

# The axes are a unit's path, what is beside its problem, and the parts of the problem's text, the
# last of which is the epilogue, or "".
_TEXT = 1 + len(BESIDE)
_PARTS = 10
_LAYOUT = 2  # of the text's parts: those after it make less often a difference


def entries(run: Run) -> list[Entry]:
    """Entries that say what the run found, before expectations were applied to it."""
    units = list(_units(run))
    if not units:
        return []
    axes = np.array([_numbers(column) for column in zip(*(unit for unit, _ in units), strict=True)])
    table = np.ascontiguousarray(axes.T, np.int32)
    kinds = np.array(_numbers([kinds for _, kinds in units]))
    parts = range(_TEXT, table.shape[1])
    turns = [*range(_TEXT), *parts[_LAYOUT + 1 :], *reversed(parts[: _LAYOUT + 1])]
    turns = [axis for axis in turns if table[:, axis].max() > 0]  # with several values in the run
    groups = []  # axes that are no wildcards, and the numbers of the units; the first is an example
    covered = np.zeros(len(units), bool)
    others_of = functools.cache(lambda kind: table[kinds != kind])
    for number, (_, listed) in enumerate(units):
        if covered[number] or listed == (AGREES,):
            continue
        kept = _kept(table[number], others_of(kinds[number]), turns)
        if units[number][0][-1] == "" and table.shape[1] - 1 in turns:
            kept = sorted({*kept, table.shape[1] - 2})  # no wildcard tells that there is nothing
        members = np.flatnonzero((table[:, kept] == table[number, kept]).all(axis=1))
        if len(members) < _LEAST_GROUP:
            kept, members = range(table.shape[1]), np.array([number])
        else:  # no wildcard for what all of them have
            kept = np.flatnonzero((table[members] == table[number]).all(axis=0))
        covered[members] = True
        groups.append((set(kept), number, members))
    paths = {}  # of entries that are alike but for these
    for kept, number, _ in _needed(groups, len(units)):
        entry = _entry(*units[number], kept)
        paths.setdefault(dataclasses.replace(entry, paths=()), []).extend(entry.paths)
    return [dataclasses.replace(entry, paths=tuple(names)) for entry, names in paths.items()]


def _units(run):
    """What each judged path did with each case: the values of the axes, and the kinds."""
    counts = {path: [verdict.value for verdict in run.counts(path)] for path in run.judged}
    for cell in run.cells:
        kinds = {}
        for path, kind, _ in found(run, cell):
            kinds.setdefault(path, {})[kind] = None
        for path, listed in kinds.items():
            if SKIPPED in listed:  # after too many deaths: nobody knows what it would do
                given_up = [kind for kind in counts[path] if kind in GIVEN_UP]
                listed |= dict.fromkeys([*given_up, AGREES])
            beside = (str(getattr(cell.case, name)) for name in BESIDE)
            # The file is of use for the same function under another name.
            name = path if run.target == STOCK else f"* {path.rpartition(' ')[2]}"
            parts = str(cell.case.problem).split(":")
            parts += [""] * (_PARTS - len(parts))
            yield (name, *beside, *parts), tuple(listed)


def _numbers(values):
    """A number for each value; equal ones have the same."""
    numbers = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


def _kept(unit, others, turns):
    """The axes that still tell a unit from all others when as many as possible are wildcards."""
    kept = set(range(len(unit)))
    differs = others != unit
    count = differs.sum(axis=1, dtype=np.uint8)  # of the kept axes
    for axis in turns:
        left = count - differs[:, axis]
        if left.all():
            kept.remove(axis)
            count = left
    return sorted(kept)


def _needed(groups, number):
    """Those of which others do not have every unit."""
    times = np.zeros(number, int)
    for _, _, members in groups:
        times[members] += 1
    needed = []
    for group in groups:
        if (times[group[2]] > 1).all():
            times[group[2]] -= 1
        else:
            needed.append(group)
    return needed


def _entry(values, kinds, kept):
    path, *axes = (value if i in kept else "*" for i, value in enumerate(values))
    beside, parts = axes[: len(BESIDE)], axes[len(BESIDE) :]
    named = tuple((k, v) for k, v in zip(BESIDE, beside, strict=True) if v != "*")
    *parts, epilogue = parts
    if epilogue == "*":  # or none
        parts[-1] += "*" if parts[-1] != "*" else ""
    elif epilogue:
        parts.append(epilogue)
    # One wildcard for neighbours: every part can be told from the others by its form.
    short = [part for i, part in enumerate(parts) if i == 0 or part != "*" or parts[i - 1] != "*"]
    return Entry(kinds, ":".join(short), named, (path,))


def to_text(run: Run, listed: list[Entry]) -> str:
    """The file's text."""
    target = "" if run.target == OURS else f" --target {run.target}"
    lines = [
        f"# What failed in `tf-dwbp conformance{target}`, TensorFlow {run.tensorflow_version}.",
        "# VERDICT[,VERDICT...] PROBLEM [order N] [PATH, ...]; the last line that matches decides.",
        *map(str, listed),
    ]
    return "\n".join(lines) + "\n"


def write(text: str, path: pathlib.Path) -> None:
    """Writes the file, whole or not at all."""
    files.write(path, text)
