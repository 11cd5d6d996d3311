"""The one list of configurations: tests, the conformance run and its tables all read it.

Every combination of the axes below is a case of each op. A value that is added to an axis is
covered everywhere. So is an axis that is added to AXES and is a field of Case: as a part of the
problem's text, or, with its default in BESIDE, beside that. The gradients of each op, to second
order, are cases of a tenth of the combinations, in which every pair of values still meets. So do
they where the forward op has an epilogue: each meets every dtype, layout and padding. Shapes of
real size, where kernels take ways that small ones never see, are cases of so many combinations that
each meets every value of every axis, and one epilogue.
"""

import dataclasses
import functools
import itertools
import shlex
import zlib

import numpy as np

from tf_dwbp.tools.epilogue import ACTIVATIONS, Epilogue
from tf_dwbp.tools.problem import DTYPES, LAYOUTS, OPS, PADDINGS, Problem, parse

ORDERS = (0, 1, 2)  # the op itself, its gradients, and their gradients
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


# Small ones: what can be wrong with borders, strides and dilations shows in them at once.
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


# Every combination of these values is a case of each op. The quick cut is by the last three.
AXES = {
    "dtype": tuple(DTYPES),
    "layout": LAYOUTS,
    "padding": PADDINGS,
    "shape": SHAPES,
    "stride": STRIDES,
    "dilation": DILATIONS,
}
_CUT = ("shape", "stride", "dilation")

# What the forward op may do to its sums: each activation after a bias, and by itself.
NO_EPILOGUE = Epilogue()
_ALPHA = float(np.float32(0.2))
EPILOGUES = tuple(
    Epilogue(bias, activation, _ALPHA if activation == "leaky_relu" else 0.0)
    for bias in (True, False)
    for activation in ACTIVATIONS
    if bias or activation != "linear"
)

# What a case has beside its problem, with the values that its name and its options leave out.
BESIDE = {"order": 0, "seed": 0}


@dataclasses.dataclass(frozen=True)
class Large:
    """A shape of real size, and the combination that it is there for."""

    shape: Shape
    op: str
    dtype: str
    layout: str
    padding: str
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)


# What these reach in the CPU kernels; others have thresholds of their own thereabouts.
LARGE = (
    # A layer of a MobileNet: rows in registers, pairs of results at stride 2, prefetch beyond 1 MB,
    # the filter gradient of tensors beyond 16 MB, in parts.
    Large(Shape("layer", 7, 56, 56, 96, 1, 3, 3), "input_grad", "float", "NHWC", "SAME", (2, 2)),
    # Columns 4 KB apart, which go through a write buffer.
    Large(Shape("deep", 2, 20, 21, 1024, 1, 3, 3), "forward", "float", "NHWC", "SAME", (1, 1)),
    # More than 32 MB of results, in half too, which are stored past the caches (process.judged()).
    Large(Shape("beyond", 6, 56, 56, 960, 1, 3, 3), "forward", "half", "NHWC", "SAME", (1, 1)),
    # The filter spans less than a stride, so that rows of the input meet no tap.
    Large(Shape("thin", 32, 96, 96, 24, 2, 1, 1), "filter_grad", "float", "NHWC", "VALID", (2, 2)),
    # Windows: a multiplier, several channel blocks, and large filters.
    Large(
        Shape("multiplied", 2, 40, 40, 72, 4, 5, 5), "input_grad", "float", "NHWC", "SAME", (1, 1)
    ),
    # Images share vectors.
    Large(Shape("few", 16, 112, 112, 3, 1, 3, 3), "filter_grad", "float", "NHWC", "SAME", (2, 2)),
    # Windows beyond 2 MB, which are loaded row by row, and the filter gradient tap by tap.
    Large(Shape("tall", 1, 272, 256, 16, 1, 265, 1), "forward", "float", "NCHW", "SAME", (1, 1)),
    # Rows of several blocks of columns.
    Large(Shape("long", 1, 3, 20000, 8, 1, 2, 5), "forward", "float", "NCHW", "SAME", (1, 1)),
    # The last channel block overlaps the one before; as many taps as there are kernels for.
    Large(Shape("ragged", 2, 28, 29, 131, 1, 7, 7), "filter_grad", "float", "NHWC", "SAME", (1, 1)),
)
# Of each shape: every op meets every stride, and every value of the other axes.
_COMBINATIONS = 15
_MOST_OF_SMALL = 1 << 16  # elements of a small case's tensors

_SIZES = tuple(field.name for field in dataclasses.fields(Shape) if field.name != "name")
_NAMED = {
    tuple(getattr(shape, name) for name in _SIZES): shape
    for shape in (*SHAPES, *(large.shape for large in LARGE))
}
_GIVEN = "given"  # instead of a name


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of an op; with an order, of what differentiating it leads to."""

    dtype: str
    layout: str
    padding: str
    shape: Shape
    stride: tuple[int, int]
    dilation: tuple[int, int]
    op: str = "input_grad"
    order: int = 0
    explicit: tuple[int, int, int, int] = (*EXPLICIT_ROWS, *EXPLICIT_COLUMNS)  # where it is that
    seed: int = 0  # of its tensors; each case has others for the same seed
    epilogue: Epilogue = NO_EPILOGUE  # the forward op's

    def __post_init__(self):
        if self.epilogue and self.order:
            raise ValueError(f"of an op with an epilogue no gradients are judged: {self.epilogue}")

    @classmethod
    def of(cls, problem: Problem, order: int = 0, **beside) -> "Case":
        """The case of a problem; its shape has a name if it is one of those above."""
        sizes = tuple(getattr(problem, name) for name in _SIZES)
        shape = _NAMED.get(sizes) or Shape(_GIVEN, *sizes)
        return cls(
            problem.dtype,
            problem.layout,
            problem.padding,
            shape,
            (problem.stride_y, problem.stride_x),
            (problem.dilation_y, problem.dilation_x),
            problem.op,
            order,
            epilogue=problem.epilogue,
            **beside,
            **({"explicit": problem.explicit} if problem.padding == "EXPLICIT" else {}),
        )

    @functools.cached_property
    def problem(self) -> Problem:
        """The op, the type and the sizes, of which there is a text."""
        return Problem(
            self.op,
            self.dtype,
            self.layout,
            **{name: getattr(self.shape, name) for name in _SIZES},
            stride_y=self.stride[0],
            stride_x=self.stride[1],
            dilation_y=self.dilation[0],
            dilation_x=self.dilation[1],
            padding=self.padding,
            explicit=self.explicit if self.padding == "EXPLICIT" else (0, 0, 0, 0),
            epilogue=self.epilogue,
        )

    @functools.cached_property
    def id(self) -> str:
        """A name that stays from run to run: the problem's text, and what is beside it.

        The tensors are drawn from it.
        """
        return " ".join([str(self.problem), *(f"{name} {v}" for name, v in self._beside())])

    def _beside(self, *always):
        values = ((name, getattr(self, name)) for name in BESIDE)
        return [(name, v) for name, v in values if v != BESIDE[name] or name in always]

    @classmethod
    def of_id(cls, id: str) -> "Case":
        """The case of that name."""
        text, *words = id.split(" ")
        named = zip(words[::2], words[1::2], strict=True)
        return cls.of(parse(text), **{name: type(BESIDE[name])(value) for name, value in named})

    @property
    def options(self) -> str:
        """What `tf-dwbp conformance` takes to judge this case alone."""
        beside = (f"--{name} {value}" for name, value in self._beside("seed"))
        return " ".join([f"--case {shlex.quote(str(self.problem))}", *beside])

    @property
    def dilated(self) -> bool:
        return self.dilation != (1, 1)

    @property
    def is_gradient(self) -> bool:
        return self.order > 0

    @property
    def activation(self) -> str:
        """The epilogue's, "linear" if there is none."""
        return self.epilogue.activation

    @functools.cached_property
    def is_large(self) -> bool:
        """Whether it is of real size."""
        return self.problem.elements > _MOST_OF_SMALL

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.problem.input_sizes

    @property
    def filter_shape(self) -> tuple[int, ...]:
        return self.problem.filter_sizes

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of the tensor in each role."""
        return self.problem.shapes

    @property
    def attributes(self) -> dict:
        """The op's keyword arguments other than its tensors and sizes."""
        return self.problem.attributes

    def arguments(self, tensors=None) -> dict:
        """The op's keyword arguments, with its operands from `tensors`, if given."""
        return self.problem.arguments(tensors or self.tensors())

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """The op's two tensors, in the order of its arguments."""
        tensors = self.tensors()
        return tuple(tensors[role] for role in self.problem.operands)

    def tensors(self) -> dict[str, np.ndarray]:
        """A tensor for each role; that of the op's result is what its gradient is fed with."""
        return self._draw("tensors")

    def directions(self) -> dict[str, np.ndarray]:
        """A second tensor for each role: what the gradients' gradients are fed with."""
        return self._draw("directions")

    def _draw(self, what):
        """Random tensors, the same on every machine.

        Magnitudes lie in [0.5, 2], so that no product is small enough to go missing unseen and no
        sum overflows; all bits of the dtype are used, so that each way of rounding shows.
        """
        random = np.random.default_rng(zlib.crc32(f"{self.id} {what}".encode()))
        drawn = {}
        for role, shape in self.shapes.items():
            numbers = random.uniform(-1.5, 1.5, shape)
            numbers += np.copysign(0.5, numbers)
            drawn[role] = numbers.astype(DTYPES[self.dtype])
        return drawn


def _combinations():
    """All values of a case's axes other than op and order, and whether the quick cut has them.

    The cut takes one shape for each combination of the other axes: every pair of values meets.
    """
    others = {name: values for name, values in AXES.items() if name not in _CUT}
    for turn, block in enumerate(itertools.product(*others.values())):
        for indices in itertools.product(*(range(len(AXES[name])) for name in _CUT)):
            shape, stride, dilation = indices
            quick = (turn + 3 * stride + 7 * dilation) % len(SHAPES) == shape
            cut = {name: AXES[name][i] for name, i in zip(_CUT, indices, strict=True)}
            yield dict(zip(others, block, strict=True)) | cut, quick


def _with_epilogues():
    """Of each epilogue a forward op of each combination of the axes that the quick cut keeps.

    The others turn on from one to the next, so that every pair of values meets here too.
    """
    others = {name: values for name, values in AXES.items() if name not in _CUT}
    for number, epilogue in enumerate(EPILOGUES):
        for turn, block in enumerate(itertools.product(*others.values())):
            stride, dilation = ((turn + number) % len(values) for values in (STRIDES, DILATIONS))
            indices = (turn + 3 * stride + 7 * dilation) % len(SHAPES), stride, dilation
            cut = {name: AXES[name][i] for name, i in zip(_CUT, indices, strict=True)}
            values = dict(zip(others, block, strict=True)) | cut
            yield Case(**values, op="forward", epilogue=epilogue)


@functools.cache
def _cases(quick):
    plain = (
        Case(**values, op=op, order=order)
        for op, order in itertools.product(OPS, ORDERS)
        for values, in_quick in _combinations()
        if in_quick or not (quick or order)
    )
    return (*plain, *_with_epilogues())


@functools.cache
def _large_cases():
    """For each large shape its own combination, and others, in which it meets every value.

    The axes turn on from that combination at different speeds, so that few pairs go together.
    Then the forward op of its own combination, each with another epilogue.
    """
    found = []
    for large in LARGE:
        for i in range(_COMBINATIONS):
            speeds = {"layout": i // 4, "dilation": i + i // 5, "op": i + i // 5}
            axes = {}
            for axis, values in ({"op": OPS} | AXES).items():
                if axis != "shape":
                    first = values.index(getattr(large, axis, values[0]))
                    axes[axis] = values[(first + speeds.get(axis, i)) % len(values)]
            found.append(Case(shape=large.shape, **axes))
    for large, epilogue in zip(LARGE, itertools.cycle(EPILOGUES), strict=False):
        own = {axis: getattr(large, axis) for axis in AXES}
        found.append(Case(**own, op="forward", epilogue=epilogue))
    return tuple(found)


def __getattr__(name):
    """CASES and LARGE_CASES, which are made when they are asked for: that takes its time."""
    if name == "CASES":
        return _cases(quick=False)
    if name == "LARGE_CASES":
        return _large_cases()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


SMALL_SIZE, LARGE_SIZE = SIZES = ("small", "large")


def select(
    dtypes=(),
    layouts=(),
    paddings=(),
    quick=False,
    ops=(),
    orders=(),
    sizes=(SMALL_SIZE,),
    epilogues=(NO_EPILOGUE,),
    **axes,
) -> list[Case]:
    """The cases with these axis values; an empty filter lets everything through.

    `axes` are more of these filters, each by the axis's name.

    With `quick`, a tenth of the small ones, and all with an epilogue. Large ones come first: they
    take longest.
    """
    named = {"dtype": dtypes, "layout": layouts, "padding": paddings, "op": ops, "order": orders}
    axes = named | axes | {"epilogue": epilogues}
    return [
        case
        for case in (
            *(_large_cases() if LARGE_SIZE in sizes or not sizes else ()),
            *(_cases(quick) if SMALL_SIZE in sizes or not sizes else ()),
        )
        if all(not values or getattr(case, axis) in values for axis, values in axes.items())
    ]
