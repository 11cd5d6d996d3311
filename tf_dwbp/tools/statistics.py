"""What measured times come to."""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np


def geometric_mean(values: Collection[float]) -> float:
    """The geometric mean of positive numbers."""
    return float(np.exp(np.mean(np.log(list(values)))))


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        low, median, high = (float(x) for x in np.percentile(values, [25, 50, 75]))
        return cls(median, low, high)

    @classmethod
    def of_ratios(cls, theirs: Sequence[float], ours: Sequence[float]) -> "Spread":
        """Of their times divided by ours, measured in pairs.

        The median of such ratios is not moved by a machine that becomes slower between pairs.
        """
        return cls.of([a / b for a, b in zip(theirs, ours, strict=True)])
