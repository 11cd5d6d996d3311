"""The measured times, and the figures that follow from them."""

import dataclasses
import json
import pathlib

from tf_dwbp.bench import shapes
from tf_dwbp.bench.call import Call
from tf_dwbp.bench.peers import COPY, PEERS
from tf_dwbp.bench.shapes import AnyShape
from tf_dwbp.tools import files
from tf_dwbp.tools.statistics import Spread, geometric_mean
from tf_dwbp.tools.targets import EAGER

OURS = "ours"


@dataclasses.dataclass(frozen=True)
class Row:
    """One shape: seconds a call, block by block, of each contender that can compute it."""

    shape: AnyShape
    seconds: dict[str, list[float]]
    refusals: dict[str, str] = dataclasses.field(default_factory=dict)  # contender -> why not

    def time(self, contender: str) -> Spread | None:
        """Seconds a call; None if the contender could not be measured."""
        return Spread.of(self.seconds[contender]) if contender in self.seconds else None

    def ratio(self, contender: str) -> Spread | None:
        """That contender's time divided by ours, from pairs of blocks of the same round.

        The median of such ratios is not moved by a machine that becomes slower between rounds.
        """
        if not {contender, OURS} <= self.seconds.keys():
            return None
        return Spread.of_ratios(self.seconds[contender], self.seconds[OURS])

    def to_json(self) -> dict:
        return {
            "shape": shapes.to_json(self.shape),
            "seconds": self.seconds,
            "refusals": self.refusals,
        }

    @classmethod
    def from_json(cls, data: dict) -> "Row":
        return cls(shapes.from_json(data["shape"]), data["seconds"], data["refusals"])


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a group of shapes comes to, as one contender's time divided by ours."""

    count: int
    mean: float  # geometric
    worst: float
    worst_shape: AnyShape


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured. The command line's options have the same names."""

    peer: str
    dtype: str
    layout: str
    threads: int
    rounds: int
    op: str = "input_grad"
    execution: str = EAGER  # how ours is called
    cold: bool = False  # each call takes other tensors
    epilogue: str = ""  # the forward op's

    @property
    def peer_title(self) -> str:
        return "memory copy" if self.peer == COPY else PEERS[self.peer].title

    @property
    def our_title(self) -> str:
        return "tf_dwbp" if self.execution == EAGER else f"tf_dwbp ({self.execution})"

    @property
    def title(self) -> str:
        contenders = f"{self.our_title} and {self.peer_title}"
        tensors = ", other tensors each time" if self.cold else ""
        op = f"{self.op} with {self.epilogue}" if self.epilogue else self.op
        return f"{op}, {self.dtype} {self.layout}{tensors}: {contenders}"


@dataclasses.dataclass
class Run:
    """A finished benchmark."""

    plan: Plan
    rows: list[Row]
    machine: dict
    matmul_rate: float  # multiplications and additions a second

    @property
    def failed(self) -> bool:
        """Whether ours could not compute a shape."""
        return any(OURS in row.refusals for row in self.rows)

    def call(self, row: Row) -> Call:
        return Call(row.shape, self.plan.dtype, self.plan.layout, self.plan.op)

    def share_of_matmul(self, row: Row) -> float | None:
        """Our multiplications and additions a second, as a share of a large matmul's."""
        ours = row.time(OURS)
        return ours and 2 * self.call(row).products / ours.median / self.matmul_rate

    def summary(self, contender: str, group: str | None = None) -> Summary | None:
        """Over the group's shapes (None: all) that this contender and we computed; None if none."""
        ratios = {
            row.shape: ratio.median
            for row in self.rows
            if (group is None or group in row.shape.groups) and (ratio := row.ratio(contender))
        }
        if not ratios:
            return None
        worst = min(ratios, key=ratios.get)
        return Summary(len(ratios), geometric_mean(ratios.values()), ratios[worst], worst)

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why contenders were not measured -> the names of the shapes."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for contender, reason in row.refusals.items():
                found.setdefault(f"{contender}: {reason}", []).append(row.shape.name)
        return found

    def to_json(self) -> dict:
        """The times, from which `from_json` makes the same run, and the figures for readers."""
        return {
            "plan": dataclasses.asdict(self.plan),
            "machine": self.machine,
            "matmul_rate": self.matmul_rate,
            "summary": {
                contender: {
                    group or "all": {
                        "count": found.count,
                        "geometric_mean": found.mean,
                        "worst": found.worst,
                        "worst_shape": found.worst_shape.name,
                    }
                    for group in (None, *shapes.GROUPS)
                    if (found := self.summary(contender, group))
                }
                for contender in dict.fromkeys([self.plan.peer, COPY])
            },
            "rows": [row.to_json() | self._figures(row) for row in self.rows],
        }

    def _figures(self, row):
        return {
            "name": row.shape.name,
            "groups": sorted(row.shape.groups),
            "moved_bytes": self.call(row).moved_bytes,
            "times": {
                contender: dataclasses.asdict(row.time(contender)) for contender in row.seconds
            },
            "ratios": {
                contender: dataclasses.asdict(ratio)
                for contender in row.seconds
                if contender != OURS and (ratio := row.ratio(contender))
            },
            "share_of_matmul": self.share_of_matmul(row),
        }

    @classmethod
    def from_json(cls, data: dict) -> "Run":
        """Raises KeyError or TypeError if the data are not a run's."""
        return cls(
            Plan(**data["plan"]),
            [Row.from_json(row) for row in data["rows"]],
            data["machine"],
            data["matmul_rate"],
        )

    def save(self, path: pathlib.Path) -> None:
        files.write(path, json.dumps(self.to_json(), allow_nan=False, indent=1) + "\n")
