"""What trainings did, and whether two of them did the same."""

import dataclasses
import json
import pathlib

import numpy as np

from tf_dwbp.tools import files
from tf_dwbp.tools.statistics import Spread
from tf_dwbp.tools.trainer import BatchNorms, Ops

STOCK, SWAPPED, CONTROL = "stock", "swapped", "control"

# The bound on a difference of losses. Rounding differences grow from step to step, as any small
# change does, until the trainings are two different ones of the same quality. How fast depends on
# model, data and learning rate, so it is measured: the control is stock's training once more, from
# weights that differ in their last bit. It and we start from as small a change, and each difference
# is a draw of its own: of two such, one is rarely ten times the largest of the other so far.
FACTOR = 10
# Differences of so many roundings of a loss mean nothing, though the control's may be smaller.
ROUNDINGS = 64
_EPSILON = float(np.finfo(np.float32).eps)  # losses are float32, whatever models compute in
# Where the bound has grown to more than this share of the loss, it says little.
TELLING = 0.01


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a model is to be trained."""

    model: str
    image_size: int
    batch: int
    warm_up: int  # steps at the higher learning rate; a comparison begins after them
    steps: int
    seed: int
    policy: str
    batch_norm: bool = False  # fused where swapped

    @property
    def title(self) -> str:
        """The model and its sizes."""
        size = self.image_size
        title = f"{self.model}, {self.batch} images of {size}x{size}, {self.policy}"
        return f"{title}, with batch_norm" if self.batch_norm else title


@dataclasses.dataclass
class Training:
    """One training, step by step."""

    losses: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)  # of the same steps
    accuracy: float = float("nan")  # on images that were held out, at the end
    ops: Ops = Ops(0, 0, 0)  # depthwise ones of the train step
    batch_norms: BatchNorms = BatchNorms()

    @property
    def step_time(self) -> Spread:
        """Seconds a step, but for the first, in which TensorFlow prepares the graph."""
        return Spread.of(self.seconds[1:])


@dataclasses.dataclass
class Run:
    """A model's training, or, to be compared, trainings that took each step in turn."""

    plan: Plan
    warm_up: list[float]  # losses before the comparison began; none where there is none
    trainings: dict[str, Training]  # STOCK, SWAPPED or, compared, both and CONTROL

    @property
    def compared(self) -> bool:
        return CONTROL in self.trainings

    def difference(self, contender: str) -> np.ndarray:
        """How far a contender's losses are from stock's, step by step."""
        losses = [np.asarray(self.trainings[which].losses) for which in (contender, STOCK)]
        return np.abs(losses[0] - losses[1])

    def bound(self) -> np.ndarray:
        """What our losses' difference from stock's may be, step by step."""
        floor = ROUNDINGS * _EPSILON * np.max(np.abs(self.trainings[STOCK].losses))
        return FACTOR * np.maximum.accumulate(self.difference(CONTROL)) + floor

    def worst(self) -> dict:
        """The step in which the losses differ most."""
        difference = self.difference(SWAPPED)
        step = int(np.argmax(difference))
        loss = self.trainings[STOCK].losses[step]
        return {
            "step": step,
            "difference": float(difference[step]),
            "relative": float(difference[step] / abs(loss)) if loss else float("inf"),
            "bound": float(self.bound()[step]),
        }

    def closest(self) -> float:
        """The largest share that a difference is of its bound."""
        return float(np.max(self.difference(SWAPPED) / self.bound()))

    def exceeding(self) -> list[int]:
        """The steps whose losses differ by more than the bound, or are not even numbers."""
        return [int(i) for i in np.flatnonzero(~(self.difference(SWAPPED) <= self.bound()))]

    def telling(self) -> int:
        """In how many steps from the first on the bound is a small share of the loss."""
        small = self.bound() <= TELLING * np.abs(self.trainings[STOCK].losses)
        return len(small) if small.all() else int(np.argmin(small))

    def ratio(self) -> Spread:
        """Stock's time divided by ours, from pairs of steps that were taken in turn."""
        stock, swapped = (self.trainings[which].seconds[1:] for which in (STOCK, SWAPPED))
        return Spread.of_ratios(stock, swapped)

    def faults(self) -> list[str]:
        """Why the run has failed, if so."""
        found = []
        for contender, training in self.trainings.items():
            swapped, ops, norms = contender == SWAPPED, training.ops, training.batch_norms
            if ops.are_wrong(swapped):
                found.append(f"the {contender} training ran the wrong depthwise ops: {ops}")
            if norms.are_wrong(swapped and self.plan.batch_norm):
                found.append(f"the {contender} training ran the wrong BatchNormalization: {norms}")
            if not np.isfinite(training.losses).all():
                found.append(f"the {contender} training's loss is not a finite number any more")
        if self.compared and (steps := self.exceeding()):
            found.append(
                f"the losses differ by more than the bound in {len(steps)} steps, the first of "
                f"them step {steps[0]}"
            )
        return found

    def to_json(self) -> dict:
        """The measured values, from which `from_json` makes the same run, and what follows."""
        found = {
            "plan": dataclasses.asdict(self.plan),
            "warm_up": self.warm_up,
            "trainings": {
                contender: dataclasses.asdict(t) for contender, t in self.trainings.items()
            },
            "step_times": {
                contender: dataclasses.asdict(t.step_time)
                for contender, t in self.trainings.items()
            },
            "faults": self.faults(),
        }
        if self.compared:
            found |= {
                "differences": {
                    contender: self.difference(contender).tolist()
                    for contender in (SWAPPED, CONTROL)
                },
                "bound": self.bound().tolist(),
                "worst": self.worst(),
                "closest": self.closest(),
                "telling_steps": self.telling(),
                "ratio": dataclasses.asdict(self.ratio()),
            }
        return found

    @classmethod
    def from_json(cls, data: dict) -> "Run":
        """Raises KeyError or TypeError if the data are not a run's."""
        trainings = {
            contender: Training(
                **one
                | {
                    "ops": Ops(**one["ops"]),
                    "batch_norms": BatchNorms(**one.get("batch_norms", {})),
                }
            )
            for contender, one in data["trainings"].items()
        }
        return cls(Plan(**data["plan"]), data["warm_up"], trainings)


def save(runs: list[Run], machine: dict, path: pathlib.Path) -> None:
    """Writes the runs; a loss that is no number is null."""
    data = {"machine": machine, "runs": [run.to_json() for run in runs]}
    files.write(path, json.dumps(_without_nan(data), allow_nan=False, indent=1) + "\n")


def from_json(data: dict) -> tuple[list[Run], dict]:
    """What `save` wrote: the runs and the machine."""
    return [Run.from_json(run) for run in data["runs"]], data["machine"]


def _without_nan(data):
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data
