"""What a run is to do, and what it has found."""

import collections
import dataclasses

from tf_dwbp.fuzz import draw
from tf_dwbp.fuzz.ways import Ways
from tf_dwbp.tools.placement import ANYWHERE, Placement


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be run."""

    target: str
    ways: Ways
    filters: draw.Filters
    seed: int
    start: int = 0
    cases: int | None = None
    seconds: float | None = None
    invalid: bool = False
    limit_seconds: float = 120  # that a call may take
    most_failures: int = 20  # of which the calls are told
    deterministic: bool = True  # whether calls that must lead to the same bits fail if they do not
    placement: Placement = ANYWHERE


@dataclasses.dataclass(frozen=True)
class Failure:
    """A call that fails: the smallest that was found."""

    verdict: str
    message: str
    options: str  # of `tf-dwbp fuzz`, that make it again
    op: str
    drawn: str  # the call that failed first


@dataclasses.dataclass
class Results:
    """What has been found so far."""

    calls: int = 0
    cases: int = 0
    seconds: float = 0
    by_op: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    failing: int = 0  # cases; several may be of one failure
    relations: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    differing: list[str] = dataclasses.field(default_factory=list)  # options of what is noted only
    unasked: int = 0  # cases, in one setting each, beside too many that kill
    stopped: str = ""  # why before the end
    paths: dict[str, int] = dataclasses.field(default_factory=dict)

    def count(self, answer: dict) -> None:
        """Counts what a worker has done for an answer."""
        self.calls += answer["calls"]
        self.relations.update(answer.get("relations", ()))
