"""A call of an op without its data, and the one text that stands for it.

    input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME

is op, dtype, layout, batch, height x width x channels with the depth multiplier, filter, strides,
dilations (rows first) and padding. Explicit padding is `EXPLICIT(top,bottom,left,right)`. Of the
forward op, an epilogue may follow (see epilogue.py), such as `:bias+relu6`.
cc/conv/problem.h has the same for the library, and accepts and refuses the same texts.
"""

import argparse
import dataclasses
import functools
import re

import ml_dtypes
import numpy as np

from tf_dwbp.tools import epilogue as epilogues
from tf_dwbp.tools import reference

OPS = tuple(reference.RESULTS)
DTYPES = {
    "half": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
LAYOUTS = ("NHWC", "NCHW")
PADDINGS = ("SAME", "VALID", "EXPLICIT")

# What the ops call the tensor in each role, and the sizes of it.
ARGUMENTS = {"input": "input", "filter": "filter", "output": "out_backprop", "bias": "bias"}

_TEXT = re.compile(
    r"(?P<op>\w+):(?P<dtype>\w+):(?P<layout>\w+):b(?P<batch>\d+)"
    r":(?P<height>\d+)x(?P<width>\d+)x(?P<channels>\d+)m(?P<multiplier>\d+)"
    r":k(?P<filter_height>\d+)x(?P<filter_width>\d+)"
    r":s(?P<stride_y>\d+)x(?P<stride_x>\d+):d(?P<dilation_y>\d+)x(?P<dilation_x>\d+)"
    r":(?P<padding>\w+)(?:\((?P<explicit>\d+,\d+,\d+,\d+)\))?(?::(?P<epilogue>.*))?",
    re.ASCII,
)
_LARGEST = 2**31 - 1  # along rows and columns, so that no position on an axis can leave 64 bits
_MOST_ELEMENTS = (2**63 - 1) // 8  # of a tensor, so that bytes of any type can be counted
_AT_LEAST_1 = (
    "filter_height",
    "filter_width",
    "stride_y",
    "stride_x",
    "dilation_y",
    "dilation_x",
)
_COUNTS = ("batch", "channels", "multiplier")  # limited by the number of elements alone


@dataclasses.dataclass(frozen=True)
class Problem:
    """Which op, on what type and sizes. `str` makes the text of it, `parse` reads that."""

    op: str
    dtype: str
    layout: str
    batch: int
    height: int
    width: int
    channels: int
    multiplier: int
    filter_height: int
    filter_width: int
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    padding: str = "SAME"
    explicit: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, bottom, left, right
    epilogue: epilogues.Epilogue = epilogues.Epilogue()  # the forward op's

    def __str__(self):
        explicit = ",".join(map(str, self.explicit))
        return (
            f"{self.op}:{self.dtype}:{self.layout}:b{self.batch}"
            f":{self.height}x{self.width}x{self.channels}m{self.multiplier}"
            f":k{self.filter_height}x{self.filter_width}"
            f":s{self.stride_y}x{self.stride_x}:d{self.dilation_y}x{self.dilation_x}"
            f":{self.padding}"
            + (f"({explicit})" if self.padding == "EXPLICIT" else "")
            + (f":{self.epilogue}" if self.epilogue else "")
        )

    @functools.cached_property
    def input_sizes(self) -> tuple[int, ...]:
        return self._ordered(self.batch, self.height, self.width, self.channels)

    @property
    def filter_sizes(self) -> tuple[int, ...]:
        return (self.filter_height, self.filter_width, self.channels, self.multiplier)

    @functools.cached_property
    def rows(self) -> reference.Axis:
        sizes = (self.height, self.filter_height, self.stride_y, self.dilation_y)
        return reference.Axis(*sizes, self.padding, self.explicit[:2])

    @functools.cached_property
    def columns(self) -> reference.Axis:
        sizes = (self.width, self.filter_width, self.stride_x, self.dilation_x)
        return reference.Axis(*sizes, self.padding, self.explicit[2:])

    @property
    def outputs(self) -> tuple[int, int]:
        """Height and width of the convolution's output."""
        return self.rows.outputs, self.columns.outputs

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of the tensor in each role."""
        channels = self.channels * self.multiplier
        return {
            "input": self.input_sizes,
            "filter": self.filter_sizes,
            "output": self._ordered(self.batch, *self.outputs, channels),
        } | ({"bias": (channels,)} if self.epilogue.bias else {})

    @property
    def attributes(self) -> dict:
        """The op's keyword arguments other than its tensors and sizes."""
        top, bottom, left, right = self.explicit
        explicit = self._ordered((0, 0), (top, bottom), (left, right), (0, 0))
        return {
            "strides": list(self._ordered(1, self.stride_y, self.stride_x, 1)),
            "padding": self.padding,
            "explicit_paddings": list(sum(explicit, ())) if self.padding == "EXPLICIT" else [],
            "data_format": self.layout,
            "dilations": list(self._ordered(1, self.dilation_y, self.dilation_x, 1)),
        }

    @property
    def result(self) -> str:
        """The role that the op computes."""
        return reference.RESULTS[self.op]

    @property
    def operands(self) -> tuple[str, str]:
        """The roles of the op's two tensors, in the order of its arguments."""
        return reference.operands(self.op)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of all tensors that the op is given: a bias, too."""
        return self.operands + (("bias",) if self.epilogue.bias else ())

    def arguments(self, tensors: dict) -> dict:
        """The op's keyword arguments, with the tensors of these roles.

        With an epilogue, those of `tf_dwbp.ops.fused_depthwise_conv2d`.
        """
        named = {ARGUMENTS[role]: tensors[role] for role in self.roles}
        if self.epilogue:
            named.setdefault("bias", None)
            named |= {"activation": self.epilogue.activation, "alpha": self.epilogue.alpha}
        if self.result != "output":  # whose sizes follow from the operands
            named[f"{self.result}_sizes"] = np.array(self.shapes[self.result], np.int32)
        return named | self.attributes

    @property
    def products_each(self) -> int:
        """How many products an element of the result can have at most."""
        taps = self.filter_height * self.filter_width
        rows, columns = self.outputs
        each = {"output": taps, "input": taps * self.multiplier}
        return each.get(self.result, self.batch * rows * columns)

    @property
    def products(self) -> int:
        """How many products are summed in all, where none is missing at the border."""
        rows, columns = self.outputs
        taps = self.filter_height * self.filter_width
        return self.batch * rows * columns * self.channels * self.multiplier * taps

    @property
    def elements(self) -> int:
        """How many elements the three tensors have in all."""
        return sum(int(np.prod(shape, dtype=object)) for shape in self.shapes.values())

    def _ordered(self, batch, height, width, channels):
        if self.layout == "NHWC":
            return (batch, height, width, channels)
        return (batch, channels, height, width)


def parse(text: str) -> Problem:
    """The problem that a text stands for. Raises ValueError saying what is wrong with it."""
    match = _TEXT.fullmatch(text)
    if not match:
        example = "input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME"
        raise ValueError(f"{text!r} is no problem such as {example}")
    fields = match.groupdict()
    for name, choices in (
        ("op", OPS),
        ("dtype", DTYPES),
        ("layout", LAYOUTS),
        ("padding", PADDINGS),
    ):
        if fields[name] not in choices:
            raise ValueError(f"{text!r}: {name} {fields[name]!r} is none of {', '.join(choices)}")
    finish = epilogues.Epilogue()
    if (told := fields.pop("epilogue")) is not None:
        try:
            finish = epilogues.parse(told)
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        if fields["op"] != "forward":
            raise ValueError(f"{text!r}: an epilogue is the forward op's alone")
    explicit = fields.pop("explicit")
    if (explicit is not None) != (fields["padding"] == "EXPLICIT"):
        raise ValueError(f"{text!r}: EXPLICIT(top,bottom,left,right), and only that, has amounts")
    numbers = {k: int(v) for k, v in fields.items() if v.isdecimal()}
    amounts = tuple(map(int, explicit.split(","))) if explicit else (0, 0, 0, 0)
    for name, value in (*numbers.items(), *(("padding", amount) for amount in amounts)):
        least = 1 if name in _AT_LEAST_1 else 0
        most = 2**63 - 1 if name in _COUNTS else _LARGEST
        if not least <= value <= most:
            raise ValueError(f"{text!r}: {name} {value} is not between {least} and {most}")
    found = Problem(**fields | numbers, explicit=amounts, epilogue=finish)
    for role, shape in found.shapes.items():
        if _too_many(shape):
            raise ValueError(
                f"{text!r}: {role} {list(shape)} has more than {_MOST_ELEMENTS} elements"
            )
    return found


def argument(text: str) -> Problem:
    """The same for `argparse`."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _too_many(shape):
    """Multiplied from the first size on, as TensorFlow does; what follows a 0 does not count."""
    elements = 1
    for size in shape:
        if size == 0:
            return False
        elements *= size
        if elements > _MOST_ELEMENTS:
            return True
    return False
