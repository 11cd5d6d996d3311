"""Whole training steps by stock's ops and by ours: what is measured, and what follows from it."""

import dataclasses
import json
import pathlib

from tf_dwbp.bench.results import OURS
from tf_dwbp.tools import files
from tf_dwbp.tools.statistics import Spread, geometric_mean

STOCK = "stock"

# Model -> size and number of images: depthwise ops as large as two cores manage in a second.
SIZES = {
    "mobilenet": (96, 32),
    "mobilenet_v2": (96, 32),
    "mobilenet_v3": (96, 32),
    "efficientnet": (96, 16),
    "convnext": (64, 8),
    "xception": (96, 8),
}


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What is to be measured. The command line's options have the same names."""

    threads: int
    rounds: int
    policy: str
    image_size: int | None = None  # by model
    batch: int | None = None  # by model
    batch_norm: bool = False  # fused in our steps

    def sizes(self, model: str) -> tuple[int, int]:
        """Height and width of images, and how many there are."""
        image_size, batch = SIZES[model]
        return self.image_size or image_size, self.batch or batch

    @property
    def title(self) -> str:
        ours = "tf_dwbp with batch_norm" if self.batch_norm else "tf_dwbp"
        return f"Training steps, {self.policy}: {ours} and TensorFlow"


@dataclasses.dataclass(frozen=True)
class TrainingRow:
    """One model: seconds a step, block by block, of stock's ops and of ours."""

    model: str
    image_size: int
    batch: int
    seconds: dict[str, list[float]]
    shares: dict[str, float]  # of depthwise ops in a step's time
    failure: str = ""

    def time(self, contender: str) -> Spread:
        """Seconds a step."""
        return Spread.of(self.seconds[contender])

    @property
    def ratio(self) -> Spread:
        """Stock's time divided by ours, from pairs of blocks of the same round."""
        return Spread.of_ratios(self.seconds[STOCK], self.seconds[OURS])


@dataclasses.dataclass
class TrainingRun:
    """A finished benchmark."""

    plan: TrainingPlan
    rows: list[TrainingRow]
    machine: dict

    @property
    def failed(self) -> bool:
        return any(row.failure for row in self.rows)

    def mean(self) -> float | None:
        """The geometric mean of the models' ratios."""
        ratios = [row.ratio.median for row in self.rows if not row.failure]
        return geometric_mean(ratios) if ratios else None

    def to_json(self) -> dict:
        """The times, from which `from_json` makes the same run, and the figures for readers."""
        return {
            "training": dataclasses.asdict(self.plan),
            "machine": self.machine,
            "geometric_mean": self.mean(),
            "rows": [dataclasses.asdict(row) | _figures(row) for row in self.rows],
        }

    @classmethod
    def from_json(cls, data: dict) -> "TrainingRun":
        """Raises KeyError or TypeError if the data are not a run's."""
        names = [field.name for field in dataclasses.fields(TrainingRow)]
        rows = [TrainingRow(**{name: row[name] for name in names}) for row in data["rows"]]
        return cls(TrainingPlan(**data["training"]), rows, data["machine"])

    def save(self, path: pathlib.Path) -> None:
        files.write(path, json.dumps(self.to_json(), allow_nan=False, indent=1) + "\n")


def _figures(row):
    if row.failure:
        return {}
    return {
        "times": {contender: dataclasses.asdict(row.time(contender)) for contender in row.seconds},
        "ratio": dataclasses.asdict(row.ratio),
    }
