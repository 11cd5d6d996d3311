"""What is timed, as each contender is given it: an op on a shape, in a type and a layout."""

import dataclasses
import functools

import numpy as np

from tf_dwbp.bench.shapes import AnyShape
from tf_dwbp.tools import epilogue as epilogues
from tf_dwbp.tools import problem
from tf_dwbp.tools.problem import Problem

# By the names that users and NumPy know them by.
DTYPES = {dtype.name: dtype for dtype in problem.DTYPES.values()}
_NAMES = {dtype.name: name for name, dtype in problem.DTYPES.items()}

# The tensors of a cold call's copies have so many bytes in all: until a copy's turn comes again,
# caches have forgotten its tensors. But no more copies than that, of small ones.
COLD_BYTES = 256 << 20
MOST_COPIES = 128

# What can be timed -> the ops that it calls, one after the other.
OPS = {
    "input_grad": ("input_grad",),
    "filter_grad": ("filter_grad",),
    "forward": ("forward",),
    "backward": ("input_grad", "filter_grad"),  # what training a layer needs
}


def fields_of(given: Problem) -> dict[str, str]:
    """Op, dtype, layout and epilogue of a problem, as a call names them."""
    return {
        "op": given.op,
        "dtype": problem.DTYPES[given.dtype].name,
        "layout": given.layout,
        "epilogue": str(given.epilogue),
    }


@dataclasses.dataclass(frozen=True)
class Call:
    """What both contenders compute."""

    shape: AnyShape
    dtype: str
    layout: str
    op: str = "input_grad"
    cold: bool = False  # takes other tensors each time, as a network's layers do
    copy: int = 0  # tells calls apart that have the same values in tensors of their own
    epilogue: str = ""  # the forward op's, where the shape's text has none

    @property
    def copies(self) -> list["Call"]:
        """The calls that take turns in a cold one's place; of another, itself."""
        if not self.cold:
            return [self]
        count = -(-COLD_BYTES // max(1, self.moved_bytes))
        count = min(max(2, count), MOST_COPIES)
        return [dataclasses.replace(self, cold=False, copy=i) for i in range(count)]

    @property
    def first(self) -> "Call":
        """The same for all copies."""
        return dataclasses.replace(self, cold=False, copy=0)

    @property
    def numpy_dtype(self) -> np.dtype:
        return DTYPES[self.dtype]

    @property
    def steps(self) -> tuple[str, ...]:
        """The ops to call."""
        return OPS[self.op]

    def problem_of(self, step: str) -> Problem:
        """What one of the ops has to compute."""
        found = self.shape.problem(step, _NAMES[self.dtype], self.layout)
        if not self.epilogue:
            return found
        return dataclasses.replace(found, epilogue=epilogues.parse(self.epilogue))

    @functools.cached_property
    def problem(self) -> Problem:
        """That of the first op, whose sizes are those of all."""
        return self.problem_of(self.steps[0])

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.problem.input_sizes

    @property
    def filter_shape(self) -> tuple[int, ...]:
        return self.problem.filter_sizes

    @property
    def out_backprop_shape(self) -> tuple[int, ...]:
        return self.problem.shapes["output"]

    @property
    def attributes(self) -> dict:
        """The op's keyword arguments other than its tensors."""
        return self.problem.attributes

    @property
    def moved_bytes(self) -> int:
        """What must be read and written: each op reads or writes the two large tensors once."""
        elements = int(np.prod(self.out_backprop_shape)) + int(np.prod(self.input_sizes))
        return len(self.steps) * elements * self.numpy_dtype.itemsize

    @property
    def products(self) -> int:
        """Multiplications that the results need; those with padding are none."""
        sizes = self.problem
        planes = sizes.batch * sizes.channels * sizes.multiplier
        return len(self.steps) * planes * sizes.rows.products * sizes.columns.products

    def terms(self, step: str) -> int:
        """How many products an element of the op's result is the sum of, at most."""
        return self.problem_of(step).products_each

    def tensors(self) -> dict[str, np.ndarray]:
        """Input, filter, output (`out_backprop`) and bias by role: random, the same each time."""
        random = np.random.default_rng(0)
        return {
            role: random.standard_normal(shape, np.float32).astype(self.numpy_dtype)
            for role, shape in self.problem.shapes.items()
        }

    def arguments(self, step: str, tensors: dict, sizes: dict) -> dict:
        """The keyword arguments of an op, given its tensors, and sizes of results, by role."""
        described = self.problem_of(step)
        named = described.arguments(tensors)
        if described.result != "output":
            named[f"{described.result}_sizes"] = sizes[described.result]
        return named
