"""For adapters of other frameworks: what an op's arguments say, in the frameworks' terms.

An adapter is a function with an op's signature that calls a framework: see docs/frameworks.md.
"""

import dataclasses

from tf_dwbp.tools import reference
from tf_dwbp.tools.problem import LAYOUTS


@dataclasses.dataclass(frozen=True)
class Geometry:
    """A convolution's parameters. Pairs are of rows and columns."""

    layout: str  # NHWC or NCHW
    padding: str  # SAME, VALID or EXPLICIT; the next two hold for each of them
    before: tuple[int, int]  # zeros in front of the image
    after: tuple[int, int]  # and behind it
    strides: tuple[int, int]
    dilations: tuple[int, int]
    outputs: tuple[int, int]  # pixels of the convolution's output
    _behind: tuple[int, int]

    @property
    def output_padding(self) -> tuple[int, int]:
        """Pixels behind the last that a tap meets, which a transposed convolution must be told of.

        Raises:
          NotImplementedError: there are no outputs, and that convolution has no size then.
        """
        if 0 in self.outputs:
            raise NotImplementedError("no transposed convolution of nothing has this size")
        return self._behind


def geometry(
    input_sizes,
    filter_sizes,
    strides,
    padding,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(1, 1, 1, 1),
    **epilogue,
) -> Geometry:
    """The parameters of a call, from the sizes of the convolution's input and filter.

    Args:
      input_sizes: four numbers, in the order of `data_format`.
      filter_sizes: height, width, channels and multiplier.
      strides, padding, explicit_paddings, data_format, dilations: the op's arguments.
      epilogue: a forward op's `bias`, `activation` and `alpha`, which are refused: an adapter whose
        framework has them takes them away before it asks.

    Raises:
      NotImplementedError: there is an epilogue.
      ValueError: the layout is neither NHWC nor NCHW.
    """
    if data_format not in LAYOUTS:
        raise ValueError(f"data_format is {data_format!r}, but must be {' or '.join(LAYOUTS)}")
    if epilogue:
        raise NotImplementedError(f"absent here: an op with {' and '.join(epilogue)}")
    axes = reference.axes(
        input_sizes, filter_sizes, strides, padding, explicit_paddings, data_format, dilations
    )

    def pair(value):
        return tuple(map(value, axes))

    def behind(axis):
        reached = (axis.outputs - 1) * axis.stride + axis.extent
        return axis.size + axis.pad_before + axis.pad_after - reached

    return Geometry(
        data_format,
        padding,
        before=pair(lambda axis: axis.pad_before),
        after=pair(lambda axis: axis.pad_after),
        strides=pair(lambda axis: axis.stride),
        dilations=pair(lambda axis: axis.dilation),
        outputs=pair(lambda axis: axis.outputs),
        _behind=pair(behind),
    )
