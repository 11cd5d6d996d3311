"""Stand-ins for `tf.nn.depthwise_conv2d` and `tf.nn.separable_conv2d`.

The same signatures, padding forms and results. What differs: every combination of strides,
dilations and layout is taken, on CPU too, and dilations cost one op, not one between SpaceToBatch
and BatchToSpace.

    images = tf.ones([2, 9, 8, 3])
    kernel = tf.ones([3, 3, 3, 1])
    output = tf_dwbp.nn.depthwise_conv2d(images, kernel, [1, 2, 1, 1], "SAME", dilations=[1, 2])
"""

from tf_dwbp import ops  # isort: skip  (says what is missing, if TensorFlow or the library is)

import operator
from typing import Any, SupportsIndex

import tensorflow as tf

from tf_dwbp._arguments import ints, shown, tensors
from tf_dwbp._types import Ints, Padding, TensorLike

_LAYOUTS = ("NHWC", "NCHW")


def depthwise_conv2d(
    input: TensorLike,  # noqa: A002  (stock's name)
    filter: TensorLike,  # noqa: A002
    strides: Ints,
    padding: Padding,
    data_format: str | None = None,
    dilations: SupportsIndex | Ints | None = None,
    name: str | None = None,
    *,
    bias: TensorLike | None = None,
    activation: str | None = None,
    alpha: float = 0.2,
) -> tf.Tensor:
    """Depthwise 2-D convolution, as `tf.nn.depthwise_conv2d` defines it.

    With a bias or an activation it is still one op, which rounds once:
    `tf_dwbp.ops.fused_depthwise_conv2d`, where the activations' formulas are.

    Args:
      input: half, bfloat16, float or double tensor, or what converts to one, of shape `[batch,
        height, width, in_channels]` (NHWC) or `[batch, in_channels, height, width]` (NCHW).
      filter: of the same type, `[filter_height, filter_width, in_channels, depth_multiplier]`.
      strides: 4 ints in the order of `data_format`; batch and channels 1. Rows and columns may
        differ.
      padding: `"SAME"`, `"VALID"`, or explicit paddings: 4 pairs (before, after) in the order of
        `data_format`; batch and channels (0, 0).
      data_format: `"NHWC"`, the default, or `"NCHW"`.
      dilations: an int, or 1 or 2 ints: of rows and columns. They go with any strides.
      name: a name for the operation (optional).
      bias: None, or of the type of `input`, `[in_channels * depth_multiplier]`.
      activation: None or `"linear"` for none, or `"relu"`, `"relu6"`, `"elu"`, `"leaky_relu"`,
        `"silu"`, `"hard_silu"`, `"gelu"`, `"gelu_tanh"`.
      alpha: of leaky_relu, the slope for what is negative.

    Returns:
      A tensor of the type of `input`, `[batch, out_height, out_width, in_channels *
      depth_multiplier]` or, for NCHW, `[batch, in_channels * depth_multiplier, out_height,
      out_width]`.

    Raises:
      ValueError: when an argument has none of the forms above.
      tf.errors.InvalidArgumentError: (while tracing: ValueError) when values or shapes are not
        valid together.
    """
    with tf.name_scope(name or "depthwise") as scope:
        given = {} if bias is None else {"bias": bias}
        input, filter, *biases = tensors(input=input, filter=filter, **given)  # noqa: A001
        epilogue = {}
        if biases or activation is not None:
            epilogue = {
                "bias": biases[0] if biases else None,
                "activation": "linear" if activation is None else activation,
                "alpha": alpha,
            }
        return _depthwise(
            input, filter, strides, padding, _layout(data_format), dilations, scope, epilogue
        )


def separable_conv2d(
    input: TensorLike,  # noqa: A002
    depthwise_filter: TensorLike,
    pointwise_filter: TensorLike,
    strides: Ints,
    padding: Padding,
    data_format: str | None = None,
    dilations: SupportsIndex | Ints | None = None,
    name: str | None = None,
) -> tf.Tensor:
    """Depthwise convolution, then one that mixes channels, as `tf.nn.separable_conv2d` defines it.

    Args:
      input: as for `depthwise_conv2d`.
      depthwise_filter: as `filter` for `depthwise_conv2d`.
      pointwise_filter: of the same type, `[1, 1, in_channels * depth_multiplier, out_channels]`.
      strides: as for `depthwise_conv2d`; they are the depthwise convolution's.
      padding: as for `depthwise_conv2d`.
      data_format: as for `depthwise_conv2d`.
      dilations: as for `depthwise_conv2d`.
      name: a name for the operation (optional).

    Returns:
      A tensor of the type of `input`, `[batch, out_height, out_width, out_channels]` or, for
      NCHW, `[batch, out_channels, out_height, out_width]`.

    Raises:
      ValueError: when an argument has none of the forms above.
      tf.errors.InvalidArgumentError: (while tracing: ValueError) when values or shapes are not
        valid together.
    """
    with tf.name_scope(name or "separable_conv2d") as scope:
        input, depthwise_filter, pointwise_filter = tensors(  # noqa: A001
            input=input, depthwise_filter=depthwise_filter, pointwise_filter=pointwise_filter
        )
        _check_pointwise(depthwise_filter, pointwise_filter)
        layout = _layout(data_format)
        between = _depthwise(input, depthwise_filter, strides, padding, layout, dilations)
        if layout == "NHWC":
            if between.shape.num_elements() == 0:
                # Stock's convolution of no pixels has as many channels as its input where oneDNN
                # is on, and leaves the filter's gradient uninitialised where it is off.
                return tf.tensordot(between, pointwise_filter[0, 0], 1, name=scope)
            return tf.nn.conv2d(between, pointwise_filter, [1] * 4, "VALID", name=scope)
        # Stock has no NCHW convolution on CPU. A 1x1 one is a product of matrices, [out, in] and,
        # for each image, [in, pixels].
        shape = tf.shape(between)
        pixels = tf.reshape(between, [shape[0], shape[1], shape[2] * shape[3]])
        matrix = tf.transpose(pointwise_filter[0, 0])
        result = tf.reshape(
            tf.matmul(matrix, pixels),
            tf.concat([shape[:1], tf.shape(matrix)[:1], shape[2:]], 0),
            name=scope,
        )
        batch, _, height, width = between.shape
        result.set_shape([batch, matrix.shape[0], height, width])
        return result


def _depthwise(  # noqa: PLR0913
    input: tf.Tensor,  # noqa: A002
    filter: tf.Tensor,  # noqa: A002
    strides: Ints,
    padding: Padding,
    layout: str,
    dilations: SupportsIndex | Ints | None,
    name: str | None = None,
    epilogue: dict[str, Any] | None = None,
) -> tf.Tensor:
    kind, explicit_paddings = _padding(padding)
    op = ops.fused_depthwise_conv2d if epilogue else ops.depthwise_conv2d
    return op(
        input,
        filter,
        **(epilogue or {}),
        strides=_ints("strides", strides, 4),
        padding=kind,
        explicit_paddings=explicit_paddings,
        data_format=layout,
        dilations=_dilations(dilations, layout),
        name=name,
    )


def _check_pointwise(depthwise_filter: tf.Tensor, pointwise_filter: tf.Tensor) -> None:
    """What stock checks; where sizes are not known yet, the convolution does."""
    shape = pointwise_filter.shape.with_rank(4)
    if not shape[:2].is_compatible_with([1, 1]):
        raise ValueError(
            f"pointwise_filter must be [1, 1, in_channels * depth_multiplier, out_channels], but "
            f"its shape is {shape}"
        )
    channels, multiplier = depthwise_filter.shape.with_rank(4)[2:]
    if None not in (channels, multiplier, shape[2]) and channels * multiplier != shape[2]:
        raise ValueError(
            f"pointwise_filter must have in_channels * depth_multiplier = {channels} * "
            f"{multiplier} = {channels * multiplier} input channels, but its shape is {shape}"
        )


def _layout(data_format: str | None) -> str:
    if data_format is None or isinstance(data_format, str) and not data_format:
        return "NHWC"
    if not isinstance(data_format, str) or data_format not in _LAYOUTS:
        raise ValueError(f"data_format must be NHWC, NCHW or None, but is {shown(data_format)}")
    return data_format


def _padding(padding: Padding) -> tuple[str, list[int]]:
    """The op's `padding` and `explicit_paddings`."""
    name = padding.decode("latin-1") if isinstance(padding, bytes) else padding
    if isinstance(name, str) and name.upper() in ("SAME", "VALID"):
        return name.upper(), []
    try:
        pairs = [] if isinstance(name, str) else [[*pair] for pair in padding]  # type: ignore[misc]
    except TypeError:
        pairs = []
    if [len(pair) for pair in pairs] != [2] * 4:
        raise ValueError(f"padding must be SAME, VALID or 4 pairs of ints, but is {shown(padding)}")
    return "EXPLICIT", _ints("padding", [size for pair in pairs for size in pair], 8)


def _dilations(dilations: SupportsIndex | Ints | None, layout: str) -> list[int]:
    if dilations is None:
        return [1] * 4
    try:
        numbers = [operator.index(dilations)]  # type: ignore[arg-type]
    except (TypeError, AttributeError):  # as in ints()
        numbers = ints("dilations", dilations, "2 ints")
    if len(numbers) == 1:
        numbers = numbers * 2
    rows, columns = _ints("dilations", numbers, 2)
    return [1, rows, columns, 1] if layout == "NHWC" else [1, 1, rows, columns]


def _ints(name: str, values: Ints, count: int) -> list[int]:
    numbers: list[int] = ints(name, values, f"{count} ints")
    if len(numbers) != count:
        raise ValueError(f"{name} must be {count} ints, but is {shown(values)}")
    return numbers
