"""What is known to fail: a file that says so, and what a run says of it.

A line is `VERDICT[,VERDICT...] PROBLEM [order N] [PATH[, PATH...]]`; problem and paths may have
wildcards:

    refuses         *:NCHW:*                        stock Eigen
    WRONG           filter_grad:half:*  order 0     stock *
    dies,agrees     *:k5x7:*                        # now and then

The last line that matches decides. What it does not list is a failure: another verdict, and an
agreement as well, unless `agrees` is among its verdicts.
"""

import dataclasses
import fnmatch
import functools
import pathlib
import re

from tf_dwbp.conformance import cases
from tf_dwbp.conformance.results import DIFFERS, Cell, Failure, Run
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import console, files, problem

AGREES, SKIPPED = Verdict.AGREES.value, Verdict.SKIPPED.value
KINDS = (*(verdict.value for verdict in Verdict), DIFFERS)  # what a line can expect
_WILDCARDS = set("*?[")
# What a line can say beside the problem: not which tensors.
BESIDE = {
    name: [*map(str, cases.AXES.get(name, cases.ORDERS))] for name in cases.BESIDE if name != "seed"
}
GIVEN_UP = {Verdict.DIES.value, Verdict.HANGS.value}  # of too many of these others are skipped


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of a file."""

    kinds: tuple[str, ...]  # those of KINDS that are as expected
    problem: str  # a pattern of the problem's text
    beside: tuple[tuple[str, str], ...] = ()  # values beside the problem: its order
    paths: tuple[str, ...] = ("*",)  # patterns of paths' names
    place: str = ""  # file and line

    def __str__(self):
        beside = " ".join(f"{name} {value}" for name, value in self.beside)
        paths = "" if self.paths == ("*",) else ", ".join(self.paths)
        columns = (f"{','.join(self.kinds):<11}", f"{self.problem:<48}", f"{beside:<7}", paths)
        return " ".join(columns).rstrip()

    @property
    def is_literal(self) -> bool:
        """Whether its problem is one and not a pattern."""
        return _WILDCARDS.isdisjoint(self.problem)

    def is_of(self, path: str) -> bool:
        """Whether it speaks of that path."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.paths)

    def expects(self, kind: str) -> bool:
        """Whether it lists what was found; also if that was not asked, after what it lists."""
        return kind in self.kinds or (kind == SKIPPED and not GIVEN_UP.isdisjoint(self.kinds))


@dataclasses.dataclass(frozen=True)
class Pass(Failure):
    """A judged path agrees with the reference although that is not expected."""

    kind = "passes"


@dataclasses.dataclass(frozen=True)
class Expectations:
    """The entries of a file, in its order."""

    entries: tuple[Entry, ...] = ()

    @functools.cached_property
    def _literal(self):
        """The numbers of the entries of one problem each, by that: there may be thousands."""
        numbers = {}
        for number, entry in enumerate(self.entries):
            if entry.is_literal:
                numbers.setdefault(entry.problem, []).append(number)
        return numbers

    @functools.cached_property
    def _patterns(self):
        return [
            (number, re.compile(fnmatch.translate(entry.problem)).match)
            for number, entry in enumerate(self.entries)
            if not entry.is_literal
        ]

    def of(self, case: cases.Case) -> list[Entry]:
        """The entries that match a case, in the file's order, whatever the path."""
        text = str(case.problem)
        numbers = [number for number, matches in self._patterns if matches(text)]
        entries = [self.entries[n] for n in sorted([*numbers, *self._literal.get(text, [])])]
        return [
            entry
            for entry in entries
            if all(str(getattr(case, name)) == value for name, value in entry.beside)
        ]

    def apply(self, run: Run) -> None:
        """Moves the failures that are expected to `Cell.known`, and adds what passes unexpectedly.

        `Run.unmet` says which entries no cell of the run has met.
        """
        met = set()
        for cell in run.cells:
            unexpected, entries = [], self.of(cell.case)
            for path, kind, failure in found(run, cell):
                matching = [entry for entry in entries if entry.is_of(path)]
                met.update(matching)
                decides = matching[-1] if matching else None
                if decides and decides.expects(kind):
                    cell.known += [failure] if failure else []
                elif failure:
                    unexpected.append(_with_place(failure, decides))
                elif decides:
                    unexpected.append(Pass(path, Verdict.AGREES, _reason(decides)))
            cell.failures = unexpected
        run.unmet = [f"{entry.place}: {entry}" for entry in self.entries if entry not in met]


def found(run: Run, cell: Cell) -> list[tuple[str, str, Failure | None]]:
    """What each judged path did with a cell that it was asked for: path, kind, and failure."""
    failures = {}
    for failure in cell.failures:
        failures.setdefault(failure.path, []).append(failure)
    return [
        (path, failure.kind if failure else AGREES, failure)
        for path in run.judged
        if path in cell.outcomes
        for failure in failures.get(path, [None])
    ]


def _with_place(failure, entry):
    if entry is None:
        return failure
    expected = f"\nexpected: {' or '.join(entry.kinds)} ({entry.place})"
    return dataclasses.replace(failure, reason=failure.reason + expected)


def _reason(entry):
    return f"agrees, expected: {' or '.join(entry.kinds)} ({entry.place})"


def read(path: str | pathlib.Path) -> Expectations:
    """Reads a file. Raises OSError, and ValueError that names the line that is none."""
    try:
        text = files.read_text(path).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: not UTF-8") from None
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        try:
            entries += [_parse(words, f"{path}:{number}")] if words else []
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    return Expectations(tuple(entries))


def _parse(words, place):
    kinds, *rest = words
    listed = kinds.split(",")
    known = {kind.lower(): kind for kind in KINDS}
    for kind in listed:
        if kind.lower() not in known:
            raise ValueError(f"{kind!r} is no verdict: {', '.join(KINDS)}")
    if not rest:
        raise ValueError(f"no problem after {kinds!r}, such as *:NCHW:* or *")
    text, *rest = rest
    if not _WILDCARDS.intersection(text):
        problem.parse(text)  # what is no problem never matches
    beside = []
    while len(rest) > 1 and rest[0] in BESIDE:
        (name, value), values = rest[:2], BESIDE[rest[0]]
        if value not in values:
            if not value.isdecimal():  # a path of that name
                break
            raise ValueError(f"{name} {value} is none of {', '.join(values)}")
        beside.append((name, value))
        rest = rest[2:]
    kinds = tuple(dict.fromkeys(known[kind.lower()] for kind in listed))
    paths = [path.strip() for path in " ".join(rest or ["*"]).split(",")]
    if not all(paths):
        raise ValueError(f"no path on one side of a comma: {' '.join(rest)!r}")
    return Entry(kinds, text, tuple(beside), tuple(paths), place)


def argument(text: str) -> Expectations:
    """The same for `argparse`."""
    return console.readable(text, read)
