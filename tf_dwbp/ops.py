"""The op, with the signature of its counterpart in `tf.raw_ops`."""

import tensorflow as tf

from tf_dwbp import _library

_ops = _library.load()


def depthwise_conv2d_backprop_input(
    input_sizes,
    filter,  # noqa: A002  (stock's name)
    out_backprop,
    strides,
    padding,
    explicit_paddings=[],  # noqa: B006  (stock's default; never changed)
    data_format="NHWC",
    dilations=[1, 1, 1, 1],  # noqa: B006
    name=None,
):
    """The gradient of depthwise 2-D convolution with respect to its input.

    Stands in for `tf.raw_ops.DepthwiseConv2dNativeBackpropInput`, with the same signature, and
    computes what that op is documented to compute in every combination of its arguments:

      result[b, iy, ix, c] = sum over m, ky, kx of
          filter[ky, kx, c, m] * out_backprop[b, oy, ox, c * depth_multiplier + m]

    where `oy * stride + ky * dilation = iy + pad_before`, likewise `ox`, both inside
    out_backprop. `tf_dwbp.conformance.reference` is the executable form of this definition.
    Sums of half, bfloat16 and float are kept in float and rounded once; the same bits come from
    every run and every number of threads. Differentiable with respect to both tensors.

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
    filter_dtype = getattr(filter, "dtype", None)
    out_dtype = getattr(out_backprop, "dtype", None)
    if filter_dtype is not None and out_dtype is not None and filter_dtype != out_dtype:
        raise ValueError(
            f"filter and out_backprop must be of the same type, but filter is {filter_dtype!r} "
            f"and out_backprop is {out_dtype!r}"
        )
    try:
        return _ops.tf_dwbp_depthwise_conv2d_native_backprop_input(
            input_sizes=input_sizes,
            filter=filter,
            out_backprop=out_backprop,
            strides=strides,
            padding=padding,
            explicit_paddings=explicit_paddings,
            data_format=data_format,
            dilations=dilations,
            name=name,
        )
    except ValueError as error:
        # While tracing, TensorFlow reads a constant before our shape function can.
        if "Invalid value in tensor used for shape" in str(error):
            raise ValueError(
                f"input_sizes must not be negative, but is {tf.get_static_value(input_sizes)}"
            ) from error
        raise
