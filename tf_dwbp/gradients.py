"""Gradients of the op: depthwise convolution and its filter gradient, composed of elementary ops.

Right rather than fast: stock's `DepthwiseConv2dNative` and
`DepthwiseConv2dNativeBackpropFilter` ignore dilations on CPU, refuse layouts and accumulate half
in half, so a gradient made of them would inherit that. Gathers, products and sums take any
stride, dilation and padding, work with sizes that are unknown while tracing, and can themselves
be differentiated again. They hold one copy of the image for each filter tap.
"""

import tensorflow as tf


def _linked(in_size, out_size, filter_size, stride, dilation, padding, pad_before):
    """The input position that output o meets through tap k, and whether it is in the image.

    Args:
      in_size, out_size, filter_size: int64 scalar tensors, along one axis.
      stride, dilation: Python ints.
      padding: "SAME", "VALID" or "EXPLICIT".
      pad_before: Python int, used for EXPLICIT.

    Returns:
      Two tensors [out_size, filter_size]: positions, `in_size` wherever the tap falls outside,
      and a mask that is False there.
    """
    if padding == "SAME":
        extent = (filter_size - 1) * dilation + 1
        pad_before = tf.maximum((out_size - 1) * stride + extent - in_size, 0) // 2
    elif padding == "VALID":
        pad_before = 0
    position = (
        tf.range(out_size)[:, tf.newaxis] * stride
        + tf.range(filter_size)[tf.newaxis, :] * dilation
        - pad_before
    )
    inside = (position >= 0) & (position < in_size)
    return tf.where(inside, position, in_size), inside


def _patches(image, out_backprop, filter, attributes):  # noqa: A002
    """For each output position and filter tap the input that they meet.

    All tensors are NHWC. Returns the patches [batch, oh, kh, ow, kw, channels, 1] and a mask that
    broadcasts to them, False where a tap falls outside the image. What is masked has to be kept
    out of sums by tf.where: zero times an Inf in the filter would be NaN.
    """
    in_shape = tf.shape(image, out_type=tf.int64)
    out_shape = tf.shape(out_backprop, out_type=tf.int64)
    filter_shape = tf.shape(filter, out_type=tf.int64)
    (rows, rows_inside), (columns, columns_inside) = (
        _linked(in_shape[axis + 1], out_shape[axis + 1], filter_shape[axis], *attributes[axis])
        for axis in (0, 1)
    )
    # One more row and column for the taps that fall outside.
    padded = tf.pad(image, [[0, 0], [0, 1], [0, 1], [0, 0]])
    patches = tf.gather(tf.gather(padded, rows, axis=1), columns, axis=3)
    mask = (
        rows_inside[:, :, tf.newaxis, tf.newaxis, tf.newaxis, tf.newaxis]
        & columns_inside[tf.newaxis, tf.newaxis, :, :, tf.newaxis, tf.newaxis]
    )
    return patches[..., tf.newaxis], mask


@tf.RegisterGradient("TfDwbp>DepthwiseConv2dNativeBackpropInput")
def _depthwise_conv2d_backprop_input_grad(op, grad):
    """The op is linear in filter and in out_backprop: its transposes, applied to `grad`."""
    _, filter, out_backprop = op.inputs  # noqa: A001
    nchw = tf.compat.as_str(op.get_attr("data_format")) == "NCHW"
    padding = tf.compat.as_str(op.get_attr("padding"))
    strides, dilations = op.get_attr("strides"), op.get_attr("dilations")
    paddings = op.get_attr("explicit_paddings") or [0] * 8
    attributes = [
        (strides[axis], dilations[axis], padding, paddings[2 * axis])
        for axis in ((2, 3) if nchw else (1, 2))
    ]

    dtype = filter.dtype
    wide = tf.float64 if dtype == tf.float64 else tf.float32
    image, gradient = tf.cast(grad, wide), tf.cast(out_backprop, wide)
    weights = tf.cast(filter, wide)
    if nchw:
        image, gradient = (tf.transpose(x, [0, 2, 3, 1]) for x in (image, gradient))
    out_shape = tf.shape(gradient)
    per_multiplier = tf.concat([out_shape[:3], tf.shape(filter)[2:]], axis=0)

    patches, inside = _patches(image, gradient, filter, attributes)
    zero = tf.zeros([], wide)

    products = patches * weights[:, tf.newaxis]  # [batch, oh, kh, ow, kw, channels, multiplier]
    convolved = tf.reduce_sum(tf.where(inside, products, zero), axis=[2, 4])
    out_backprop_grad = tf.reshape(convolved, out_shape)
    if nchw:
        out_backprop_grad = tf.transpose(out_backprop_grad, [0, 3, 1, 2])

    products = patches * tf.reshape(gradient, per_multiplier)[:, :, tf.newaxis, :, tf.newaxis]
    filter_grad = tf.reduce_sum(tf.where(inside, products, zero), axis=[0, 1, 3])

    out_backprop_grad = tf.cast(tf.ensure_shape(out_backprop_grad, out_backprop.shape), dtype)
    return None, tf.cast(tf.ensure_shape(filter_grad, filter.shape), dtype), out_backprop_grad
