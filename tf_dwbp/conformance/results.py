"""What a conformance run found: its cells, what each path did with them, and what fails."""

import collections
import dataclasses

from tf_dwbp.conformance.cases import Case
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools.placement import ANYWHERE, Placement

DIFFERS = "differs"  # what a failure is where every answer agrees, and bits do not


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a judged path makes a cell fail."""

    path: str
    verdict: Verdict
    reason: str

    @property
    def kind(self) -> str:
        """The verdict's name, or DIFFERS."""
        return DIFFERS if self.verdict is Verdict.AGREES else self.verdict.value

    def __str__(self):
        return f"{self.path}: {self.reason}"


@dataclasses.dataclass
class Cell:
    """One case, and for each path asked for it the outcome in each process that ran it."""

    case: Case
    outcomes: dict[str, list[Outcome]] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    known: list[Failure] = dataclasses.field(default_factory=list)  # failures that are expected

    def outcome(self, *paths: str) -> Outcome:
        """The worst of the paths' outcomes."""
        outcomes = (outcome for path in paths for outcome in self.outcomes.get(path, ()))
        return max(outcomes, key=lambda outcome: outcome.verdict.severity)

    def judge(self, judged: list[str], same_bits: bool = False) -> None:
        """Notes why this cell fails, if it does; also that paths differ, if they must not."""
        bits = {}  # of paths that agree
        for path in judged:
            if path not in self.outcomes:
                continue
            worst = self.outcome(path)
            digests = {outcome.digest for outcome in self.outcomes[path]}
            if worst.verdict is Verdict.BARRED:
                continue
            if worst.verdict is not Verdict.AGREES:
                reason = f"{worst.verdict.value}: {worst.evidence}"
                self.failures.append(Failure(path, worst.verdict, reason))
            elif len(digests) > 1:
                self.failures.append(
                    Failure(path, worst.verdict, "two processes computed different bits")
                )
            else:
                bits[path] = digests
        for path, digests in bits.items() if same_bits else ():
            if digests != (first := next(iter(bits.items())))[1]:
                reason = f"its bits are not those of {first[0]}"
                self.failures.append(Failure(path, Verdict.AGREES, reason))


@dataclasses.dataclass
class Run:
    """A finished conformance run."""

    target: str
    paths: list[str]
    lanes: dict[str, list[str]]  # the paths by what they are parts of, as tables show them
    judged: list[str]
    cells: list[Cell]
    seconds: float
    tensorflow_version: str | None  # None where it takes no part
    options: list[str] = dataclasses.field(default_factory=list)  # that a repetition needs
    unmet: list[str] | None = None  # entries that no cell meets, where there are expectations
    placement: Placement = ANYWHERE
    versions: dict[str, str] = dataclasses.field(default_factory=dict)  # of what a target imports

    @property
    def known(self) -> list[Cell]:
        """The cells that fail as expected, and in no other way."""
        return [cell for cell in self.cells if cell.known and not cell.failures]

    @property
    def subject(self) -> str:
        """What is judged, and where."""
        device = self.placement.device
        return f"{self.target} on {device}" if device else self.target

    @property
    def failing(self) -> list[Cell]:
        """The cells that fail, the worst first."""

        def severity(cell):
            return max(failure.verdict.severity for failure in cell.failures)

        return sorted((c for c in self.cells if c.failures), key=severity, reverse=True)

    def counts(self, path: str) -> dict[Verdict, int]:
        """How many cells got each verdict, best verdict first."""
        asked = (cell for cell in self.cells if path in cell.outcomes)
        found = collections.Counter(cell.outcome(path).verdict for cell in asked)
        return {verdict: found[verdict] for verdict in Verdict if found[verdict]}
