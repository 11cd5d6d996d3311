"""What a conformance run found: its cells, what each path did with them, and what fails."""

import collections
import dataclasses

from tf_dwbp.conformance.cases import Case
from tf_dwbp.conformance.verdicts import Outcome, Verdict


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a judged path makes a cell fail."""

    path: str
    verdict: Verdict
    reason: str

    def __str__(self):
        return f"{self.path}: {self.reason}"


@dataclasses.dataclass
class Cell:
    """One case, and for each path asked for it the outcome in each process that ran it."""

    case: Case
    outcomes: dict[str, list[Outcome]] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)

    def outcome(self, path: str) -> Outcome:
        """The worst of the path's outcomes."""
        return max(self.outcomes[path], key=lambda outcome: outcome.verdict.severity)

    def judge(self, judged: list[str]) -> None:
        """Notes why this cell fails, if it does."""
        for path in judged:
            if path not in self.outcomes:
                continue
            worst = self.outcome(path)
            digests = {outcome.digest for outcome in self.outcomes[path]}
            if worst.verdict is not Verdict.AGREES:
                reason = f"{worst.verdict.value}: {worst.evidence}"
                self.failures.append(Failure(path, worst.verdict, reason))
            elif len(digests) > 1:
                self.failures.append(
                    Failure(path, worst.verdict, "two processes computed different bits")
                )


@dataclasses.dataclass
class Run:
    """A finished conformance run."""

    target: str
    paths: list[str]
    judged: list[str]
    cells: list[Cell]
    seconds: float
    tensorflow_version: str

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
