"""The one list of configurations: tests, the conformance run and its tables all read it.

Every combination of the axes below is a case. An axis value added here is covered everywhere.
"""

import dataclasses
import functools
import itertools
import zlib

import ml_dtypes
import numpy as np

from tf_dwbp.conformance import reference

DTYPES = {
    "half": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
LAYOUTS = ("NHWC", "NCHW")
PADDINGS = ("SAME", "VALID", "EXPLICIT")
STRIDES = ((1, 1), (2, 2), (3, 3), (2, 1), (1, 3))
DILATIONS = ((1, 1), (2, 2), (1, 2), (3, 2))

# (before, after) for rows and columns: asymmetric, and more than a 1x1 filter can use.
EXPLICIT_ROWS = (1, 2)
EXPLICIT_COLUMNS = (3, 0)


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes that a case uses, under a name that says what is special about them."""

    name: str
    batch: int
    height: int
    width: int
    channels: int
    multiplier: int
    filter_height: int
    filter_width: int


SHAPES = (
    Shape("plain", 2, 10, 10, 8, 1, 3, 3),
    Shape("odd", 3, 11, 9, 3, 1, 3, 3),
    Shape("wide", 1, 8, 8, 40, 1, 3, 3),
    Shape("multiplier", 2, 9, 8, 3, 2, 3, 3),
    Shape("channel", 1, 12, 10, 1, 4, 5, 5),
    Shape("pointwise", 2, 6, 7, 17, 1, 1, 1),
    Shape("even", 2, 9, 10, 17, 1, 2, 4),
    Shape("oversized", 2, 4, 3, 8, 1, 5, 7),
    Shape("multiplier0", 2, 7, 8, 8, 0, 3, 3),
    Shape("batch0", 0, 7, 8, 8, 1, 3, 3),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of the op."""

    dtype: str
    layout: str
    padding: str
    shape: Shape
    stride: tuple[int, int]
    dilation: tuple[int, int]

    @functools.cached_property
    def id(self) -> str:
        """A name that stays the same from run to run: `float-NHWC-SAME-s2x1-d1x2-odd`."""
        stride, dilation = ("x".join(map(str, pair)) for pair in (self.stride, self.dilation))
        return f"{self.dtype}-{self.layout}-{self.padding}-s{stride}-d{dilation}-{self.shape.name}"

    @property
    def dilated(self) -> bool:
        return self.dilation != (1, 1)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        shape = self.shape
        return self._ordered(shape.batch, shape.height, shape.width, shape.channels)

    @property
    def filter_shape(self) -> tuple[int, ...]:
        shape = self.shape
        return (shape.filter_height, shape.filter_width, shape.channels, shape.multiplier)

    @property
    def attributes(self) -> dict:
        """The op's keyword arguments other than its tensors."""
        explicit = self._ordered((0, 0), EXPLICIT_ROWS, EXPLICIT_COLUMNS, (0, 0))
        return {
            "strides": list(self._ordered(1, *self.stride, 1)),
            "padding": self.padding,
            "explicit_paddings": list(sum(explicit, ())) if self.padding == "EXPLICIT" else [],
            "data_format": self.layout,
            "dilations": list(self._ordered(1, *self.dilation, 1)),
        }

    @property
    def out_backprop_shape(self) -> tuple[int, ...]:
        return reference.out_backprop_shape(self.input_sizes, self.filter_shape, **self.attributes)

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """`filter` and `out_backprop`, the same on every machine.

        Magnitudes lie in [0.5, 2], so that no product is small enough to go missing unseen and no
        sum overflows; all bits of the dtype are used, so that each way of rounding shows.
        """
        random = np.random.default_rng(zlib.crc32(self.id.encode()))

        def draw(shape):
            magnitude = random.uniform(0.5, 2, shape)
            return (magnitude * random.choice([-1, 1], shape)).astype(DTYPES[self.dtype])

        return draw(self.filter_shape), draw(self.out_backprop_shape)

    def _ordered(self, batch, height, width, channels):
        if self.layout == "NHWC":
            return (batch, height, width, channels)
        return (batch, channels, height, width)


CASES = tuple(
    Case(*values)
    for values in itertools.product(DTYPES, LAYOUTS, PADDINGS, SHAPES, STRIDES, DILATIONS)
)


def select(dtypes=(), layouts=(), paddings=(), quick=False) -> list[Case]:
    """The cases with these axis values; an empty filter lets everything through."""
    return [
        case
        for case in (_quick_cases() if quick else CASES)
        if (not dtypes or case.dtype in dtypes)
        and (not layouts or case.layout in layouts)
        and (not paddings or case.padding in paddings)
    ]


def _quick_cases():
    """One shape for each combination of the other axes: every pair of values still meets."""
    blocks = list(itertools.product(DTYPES, LAYOUTS, PADDINGS))
    picked = []
    for case in CASES:
        turn = (
            blocks.index((case.dtype, case.layout, case.padding))
            + 3 * STRIDES.index(case.stride)
            + 7 * DILATIONS.index(case.dilation)
        )
        if SHAPES[turn % len(SHAPES)] == case.shape:
            picked.append(case)
    return picked
