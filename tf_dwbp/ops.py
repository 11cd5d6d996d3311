"""The ops, with the signatures of their counterparts in `tf.raw_ops`.

And `fused_depthwise_conv2d`, for which stock has no public counterpart. All take every combination
of their arguments. Sums of half, bfloat16 and float are kept in float and rounded once; the same
bits come from every run and every number of threads. Each can be differentiated with respect to its
tensors, to any order. `tf_dwbp.tools.reference` is the executable form of their definition.

    images = tf.ones([2, 9, 8, 3])
    kernel = tf.ones([3, 3, 3, 1])
    attributes = {"strides": [1, 2, 2, 1], "padding": "SAME"}
    output = tf_dwbp.ops.depthwise_conv2d(images, kernel, **attributes)
    gradient = tf_dwbp.ops.depthwise_conv2d_backprop_input(
        images.shape, kernel, output, **attributes
    )
"""

# Before TensorFlow: its errors say what is missing.
from tf_dwbp._loaded import ops as _ops  # isort: skip

from typing import Any

import tensorflow as tf

from tf_dwbp._arguments import (
    are_alike,
    choice,
    ints,
    number,
    sizes,
    tensors,
    text,
    usual_attributes,
)
from tf_dwbp._types import Ints, TensorLike
from tf_dwbp.tools import epilogue

_NO_PADDINGS: Ints = []  # stock's default; never changed


def depthwise_conv2d(
    input: TensorLike,  # noqa: A002  (stock's name)
    filter: TensorLike,  # noqa: A002
    strides: Ints,
    padding: str,
    explicit_paddings: Ints | None = _NO_PADDINGS,
    data_format: str | None = "NHWC",
    dilations: Ints | None = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> tf.Tensor:
    """Depthwise 2-D convolution.

    Stands in for `tf.raw_ops.DepthwiseConv2dNative`, with the same signature, and computes

      result[b, oy, ox, c * depth_multiplier + m] = sum over ky, kx of
          input[b, iy, ix, c] * filter[ky, kx, c, m]

    where `iy = oy * stride + ky * dilation - pad_before`, likewise `ix`, both inside the input.

    Args:
      input: half, bfloat16, float or double tensor of shape `[batch, height, width, in_channels]`
        (NHWC) or `[batch, in_channels, height, width]` (NCHW).
      filter: tensor of the type of `input` and of shape
        `[filter_height, filter_width, in_channels, depth_multiplier]`. The multiplier may be 0.
      strides: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      padding: `"SAME"`, `"VALID"` or `"EXPLICIT"`.
      explicit_paddings: with `"EXPLICIT"` 8 ints >= 0, before and after for each dimension in
        the order of `data_format`; batch and channels 0. Otherwise empty.
      data_format: `"NHWC"` or `"NCHW"`.
      dilations: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      name: a name for the operation (optional).

    Returns:
      A tensor of the type of `input`, `[batch, out_height, out_width, in_channels *
      depth_multiplier]` (NHWC) or `[batch, in_channels * depth_multiplier, out_height, out_width]`.

    Raises:
      tf.errors.InvalidArgumentError: (while tracing: ValueError) when an argument or a
        combination of shapes is not valid; the text names it, its value and what was expected.
      tf.errors.ResourceExhaustedError: when the result does not fit into memory.
      ValueError: when `input` and `filter` are of different types.
    """
    if not are_alike(input, filter):
        input, filter = tensors(arrays_adapt=True, input=input, filter=filter)  # noqa: A001
    attributes = _attributes(strides, padding, explicit_paddings, data_format, dilations)
    return _ops.tf_dwbp_depthwise_conv2d_native(input, filter, *attributes, name)


def fused_depthwise_conv2d(
    input: TensorLike,  # noqa: A002
    filter: TensorLike,  # noqa: A002
    bias: TensorLike | None,
    strides: Ints,
    padding: str,
    activation: str = "linear",
    alpha: float = 0.2,
    explicit_paddings: Ints | None = _NO_PADDINGS,
    data_format: str | None = "NHWC",
    dilations: Ints | None = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> tf.Tensor:
    """Depthwise 2-D convolution, a bias and an activation, in one op.

    Computes `activation(sum + bias)` of each sum of `depthwise_conv2d`, before it is rounded: half
    and bfloat16 are rounded once. With x for what the activation is applied to:

      linear      x
      relu        max(x, 0)
      relu6       min(max(x, 0), 6)
      elu         x < 0 ? exp(x) - 1 : x
      leaky_relu  x < 0 ? alpha * x : x
      silu        x / (1 + exp(-x)), also called swish
      hard_silu   x * min(max(x + 3, 0), 6) / 6, also called hard swish
      gelu        x * Phi(x), with the normal distribution's Phi
      gelu_tanh   x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2

    NaN stays NaN; at -Inf the last four have their limit, 0. The gradients compute the sums again
    where the activation's slope does not follow from the result (silu, hard_silu, gelu, gelu_tanh,
    and leaky_relu with an alpha that is not above 0): that costs a forward op more, and no memory.

    Args:
      input: half, bfloat16, float or double tensor of shape `[batch, height, width, in_channels]`
        (NHWC) or `[batch, in_channels, height, width]` (NCHW).
      filter: tensor of the type of `input` and of shape
        `[filter_height, filter_width, in_channels, depth_multiplier]`. The multiplier may be 0.
      bias: tensor of the type of `input` and of shape `[in_channels * depth_multiplier]`, or None.
      strides: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      padding: `"SAME"`, `"VALID"` or `"EXPLICIT"`.
      activation: a name from the list above.
      alpha: leaky_relu's slope for what is negative: a finite number.
      explicit_paddings: with `"EXPLICIT"` 8 ints >= 0, before and after for each dimension in
        the order of `data_format`; batch and channels 0. Otherwise empty.
      data_format: `"NHWC"` or `"NCHW"`.
      dilations: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      name: a name for the operation (optional).

    Returns:
      A tensor of the type of `input`, `[batch, out_height, out_width, in_channels *
      depth_multiplier]` (NHWC) or `[batch, in_channels * depth_multiplier, out_height, out_width]`.

    Raises:
      tf.errors.InvalidArgumentError: (while tracing: ValueError) when an argument or a
        combination of shapes is not valid; the text names it, its value and what was expected.
      tf.errors.ResourceExhaustedError: when the result does not fit into memory.
      ValueError: when the tensors are of different types, or `activation` or `alpha` is none.
    """
    given = {} if bias is None else {"bias": bias}
    input, filter, *biases = tensors(  # noqa: A001
        arrays_adapt=True, input=input, filter=filter, **given
    )
    strides, padding, *others = _attributes(
        strides, padding, explicit_paddings, data_format, dilations
    )
    activation = choice("activation", activation, epilogue.ACTIVATIONS)
    alpha = number("alpha", alpha)
    return _ops.tf_dwbp_fused_depthwise_conv2d_native(
        input, filter, biases, strides, padding, activation, alpha, *others, name
    )


def depthwise_conv2d_backprop_input(
    input_sizes: TensorLike,
    filter: TensorLike,  # noqa: A002
    out_backprop: TensorLike,
    strides: Ints,
    padding: str,
    explicit_paddings: Ints | None = _NO_PADDINGS,
    data_format: str | None = "NHWC",
    dilations: Ints | None = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> tf.Tensor:
    """The gradient of depthwise 2-D convolution with respect to its input.

    Stands in for `tf.raw_ops.DepthwiseConv2dNativeBackpropInput`, with the same signature, and
    computes what that op is documented to compute:

      result[b, iy, ix, c] = sum over m, ky, kx of
          filter[ky, kx, c, m] * out_backprop[b, oy, ox, c * depth_multiplier + m]

    where `oy * stride + ky * dilation = iy + pad_before`, likewise `ox`, both inside
    out_backprop.

    Args:
      input_sizes: int32 vector of 4: the shape of the convolution's input, in the order of
        `data_format`.
      filter: half, bfloat16, float or double tensor of shape
        `[filter_height, filter_width, in_channels, depth_multiplier]`. The multiplier may be 0.
      out_backprop: tensor of the type of `filter`: the gradient with respect to the output of
        the convolution, `[batch, out_height, out_width, in_channels * depth_multiplier]`
        (NHWC) or `[batch, in_channels * depth_multiplier, out_height, out_width]` (NCHW).
      strides: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      padding: `"SAME"`, `"VALID"` or `"EXPLICIT"`.
      explicit_paddings: with `"EXPLICIT"` 8 ints >= 0, before and after for each dimension in
        the order of `data_format`; batch and channels 0. Otherwise empty.
      data_format: `"NHWC"` or `"NCHW"`.
      dilations: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      name: a name for the operation (optional).

    Returns:
      A tensor of shape `input_sizes` and of the type of `filter`.

    Raises:
      tf.errors.InvalidArgumentError: (while tracing: ValueError) when an argument or a
        combination of shapes is not valid; the text names it, its value and what was expected.
      tf.errors.ResourceExhaustedError: when the result does not fit into memory.
      ValueError: when `filter` and `out_backprop` are of different types.
    """
    if not are_alike(filter, out_backprop):
        filter, out_backprop = tensors(  # noqa: A001
            arrays_adapt=True, filter=filter, out_backprop=out_backprop
        )
    input_sizes = sizes("input_sizes", input_sizes)
    attributes = _attributes(strides, padding, explicit_paddings, data_format, dilations)
    try:
        return _ops.tf_dwbp_depthwise_conv2d_native_backprop_input(
            input_sizes, filter, out_backprop, *attributes, name
        )
    except ValueError as error:
        _explain(error, "input_sizes", input_sizes)
        raise


def depthwise_conv2d_backprop_filter(
    input: TensorLike,  # noqa: A002
    filter_sizes: TensorLike,
    out_backprop: TensorLike,
    strides: Ints,
    padding: str,
    explicit_paddings: Ints | None = _NO_PADDINGS,
    data_format: str | None = "NHWC",
    dilations: Ints | None = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> tf.Tensor:
    """The gradient of depthwise 2-D convolution with respect to its filter.

    Stands in for `tf.raw_ops.DepthwiseConv2dNativeBackpropFilter`, with the same signature, and
    computes

      result[ky, kx, c, m] = sum over b, oy, ox of
          input[b, iy, ix, c] * out_backprop[b, oy, ox, c * depth_multiplier + m]

    where `iy = oy * stride + ky * dilation - pad_before`, likewise `ix`, both inside the input.
    These sums are long. They are taken in short runs whose sums are added with compensation, so
    that the error does not grow with batch and image size.

    Args:
      input: half, bfloat16, float or double tensor of shape `[batch, height, width, in_channels]`
        (NHWC) or `[batch, in_channels, height, width]` (NCHW).
      filter_sizes: int32 vector of 4: the shape of the filter, `[filter_height, filter_width,
        in_channels, depth_multiplier]`. The multiplier may be 0.
      out_backprop: tensor of the type of `input`: the gradient with respect to the output of
        the convolution, `[batch, out_height, out_width, in_channels * depth_multiplier]`
        (NHWC) or `[batch, in_channels * depth_multiplier, out_height, out_width]` (NCHW).
      strides: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      padding: `"SAME"`, `"VALID"` or `"EXPLICIT"`.
      explicit_paddings: with `"EXPLICIT"` 8 ints >= 0, before and after for each dimension in
        the order of `data_format`; batch and channels 0. Otherwise empty.
      data_format: `"NHWC"` or `"NCHW"`.
      dilations: 4 ints >= 1 in the order of `data_format`; batch and channels 1.
      name: a name for the operation (optional).

    Returns:
      A tensor of shape `filter_sizes` and of the type of `input`.

    Raises:
      tf.errors.InvalidArgumentError: (while tracing: ValueError) when an argument or a
        combination of shapes is not valid; the text names it, its value and what was expected.
      tf.errors.ResourceExhaustedError: when the result does not fit into memory.
      ValueError: when `input` and `out_backprop` are of different types.
    """
    if not are_alike(input, out_backprop):
        input, out_backprop = tensors(  # noqa: A001
            arrays_adapt=True, input=input, out_backprop=out_backprop
        )
    filter_sizes = sizes("filter_sizes", filter_sizes)
    attributes = _attributes(strides, padding, explicit_paddings, data_format, dilations)
    try:
        return _ops.tf_dwbp_depthwise_conv2d_native_backprop_filter(
            input, filter_sizes, out_backprop, *attributes, name
        )
    except ValueError as error:
        _explain(error, "filter_sizes", filter_sizes)
        raise


def _attributes(
    strides: Ints,
    padding: str,
    explicit_paddings: Ints | None,
    data_format: str | None,
    dilations: Ints | None,
) -> tuple[Any, ...]:
    """The attributes as TensorFlow takes them; None stands for a default, as in `tf.raw_ops`.

    They have the order of the arguments. TensorFlow's functions take them by position, which costs
    half a microsecond less than by name.
    """
    # What nearly all calls have is looked up before it is checked.
    if (
        explicit_paddings is _NO_PADDINGS
        and type(strides) is list
        and type(dilations) is list
        and len(strides) == len(dilations) == 4
    ):
        try:
            return usual_attributes(padding, data_format, *strides, *dilations)
        except TypeError:
            pass
    return (
        ints("strides", strides),
        text("padding", padding),
        [] if explicit_paddings is None else ints("explicit_paddings", explicit_paddings),
        "NHWC" if data_format is None else text("data_format", data_format),
        [1, 1, 1, 1] if dilations is None else ints("dilations", dilations),
    )


def _explain(error: ValueError, name: str, sizes: TensorLike) -> None:
    """Says which sizes it is that TensorFlow, while tracing, refuses before our shape function."""
    if "Invalid value in tensor used for shape" in str(error):
        raise ValueError(
            f"{name} must not be negative, but is {tf.get_static_value(sizes)}"
        ) from error


# Whoever has the ops can differentiate them, turn loops over them into one op, and count flops.
from tf_dwbp import flops, gradients, vectorize  # noqa: E402, F401  (need the functions above)
