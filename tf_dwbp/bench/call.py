"""What is timed, as each contender is given it: an op on a shape, in a type and a layout."""

import dataclasses

import ml_dtypes
import numpy as np

from tf_dwbp.bench.shapes import Shape
from tf_dwbp.tools import reference

DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
    "float64": np.dtype(np.float64),
}
LAYOUTS = ("NHWC", "NCHW")

# What can be timed -> the ops that it calls, one after the other.
OPS = {
    "input_grad": ("input_grad",),
    "filter_grad": ("filter_grad",),
    "forward": ("forward",),
    "backward": ("input_grad", "filter_grad"),  # what training a layer needs
}


@dataclasses.dataclass(frozen=True)
class Axis:
    """SAME padding along rows or columns."""

    size: int
    filter: int
    stride: int
    dilation: int

    @property
    def out_size(self) -> int:
        return -(-self.size // self.stride)

    @property
    def padding(self) -> tuple[int, int]:
        """Before and after; where the sum is odd, after gets the one more."""
        reach = (self.filter - 1) * self.dilation + 1
        total = max(0, (self.out_size - 1) * self.stride + reach - self.size)
        return total // 2, total - total // 2

    @property
    def products(self) -> int:
        """Pairs of an output and a tap that meet a pixel, and not the padding."""
        first = [out * self.stride - self.padding[0] for out in range(self.out_size)]
        taps = [tap * self.dilation for tap in range(self.filter)]
        return sum(0 <= at + tap < self.size for at in first for tap in taps)


@dataclasses.dataclass(frozen=True)
class Call:
    """What both contenders compute."""

    shape: Shape
    dtype: str
    layout: str
    op: str = "input_grad"

    @property
    def steps(self) -> tuple[str, ...]:
        """The ops to call."""
        return OPS[self.op]

    @property
    def rows(self) -> Axis:
        shape = self.shape
        return Axis(shape.height, shape.filter, shape.stride, shape.dilation)

    @property
    def columns(self) -> Axis:
        shape = self.shape
        return Axis(shape.width, shape.filter, shape.stride, shape.dilation)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        shape = self.shape
        return self._ordered(shape.batch, shape.height, shape.width, shape.channels)

    @property
    def filter_shape(self) -> tuple[int, ...]:
        shape = self.shape
        return (shape.filter, shape.filter, shape.channels, shape.depth_multiplier)

    @property
    def out_backprop_shape(self) -> tuple[int, ...]:
        channels = self.shape.channels * self.shape.depth_multiplier
        return self._ordered(self.shape.batch, self.rows.out_size, self.columns.out_size, channels)

    @property
    def attributes(self) -> dict:
        """The op's keyword arguments other than its tensors."""
        stride, dilation = self.shape.stride, self.shape.dilation
        return {
            "strides": list(self._ordered(1, stride, stride, 1)),
            "padding": "SAME",
            "data_format": self.layout,
            "dilations": list(self._ordered(1, dilation, dilation, 1)),
        }

    @property
    def moved_bytes(self) -> int:
        """What must be read and written: each op reads or writes the two large tensors once."""
        elements = int(np.prod(self.out_backprop_shape)) + int(np.prod(self.input_sizes))
        return len(self.steps) * elements * DTYPES[self.dtype].itemsize

    @property
    def products(self) -> int:
        """Multiplications that the results need; those with padding are none."""
        shape = self.shape
        planes = shape.batch * shape.channels * shape.depth_multiplier
        return len(self.steps) * planes * self.rows.products * self.columns.products

    def terms(self, step: str) -> int:
        """How many products an element of the op's result is the sum of, at most."""
        if step == "filter_grad":
            return self.shape.batch * self.rows.out_size * self.columns.out_size
        multiplier = self.shape.depth_multiplier if step == "input_grad" else 1
        return self.shape.filter**2 * multiplier

    def tensors(self) -> dict[str, np.ndarray]:
        """Input, filter and output (`out_backprop`) by role: random, the same each time."""
        random = np.random.default_rng(0)
        shapes = (self.input_sizes, self.filter_shape, self.out_backprop_shape)
        return {
            role: random.standard_normal(shape, np.float32).astype(DTYPES[self.dtype])
            for role, shape in zip(reference.ROLES, shapes, strict=True)
        }

    def arguments(self, step: str, tensors: dict, sizes: dict) -> dict:
        """The keyword arguments of an op, given its tensors, and sizes of results, by role."""
        names = {"input": "input", "filter": "filter", "output": "out_backprop"}
        named = {names[role]: tensors[role] for role in reference.operands(step)}
        result = reference.RESULTS[step]
        if result != "output":  # whose sizes follow from the operands
            named[f"{result}_sizes"] = sizes[result]
        return named | self.attributes

    def _ordered(self, batch, height, width, channels):
        if self.layout == "NHWC":
            return (batch, height, width, channels)
        return (batch, channels, height, width)
