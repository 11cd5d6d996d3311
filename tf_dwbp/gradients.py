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
      Two tensors [out_size, filter_size]: the position, and a mask that is False wherever the tap
      falls outside.
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
    return position, (position >= 0) & (position < in_size)


def _outer(combine, rows, columns):
    """Combines [oh, kh] with [ow, kw] into [oh * ow, kh * kw]."""
    combined = combine(rows[:, tf.newaxis, :, tf.newaxis], columns[tf.newaxis, :, tf.newaxis, :])
    shape = tf.shape(combined)
    return tf.reshape(combined, [shape[0] * shape[1], shape[2] * shape[3]])


def _patches(image, out_shape, filter_shape, attributes):
    """For each output pixel and filter tap the input that they meet.

    Args:
      image: [batch, height, width, channels].
      out_shape, filter_shape: int64 vectors: the shapes of out_backprop (NHWC) and filter.
      attributes: for rows and for columns, the last arguments of `_linked`.

    Returns:
      Patches [batch, oh * ow, kh * kw, channels, 1], and a mask that broadcasts to them, False
      where a tap falls outside the image. What is masked has to be kept out of sums by tf.where:
      zero times an Inf in the filter would be NaN.
    """
    shape = tf.shape(image, out_type=tf.int64)
    batch, height, width, channels = (shape[i] for i in range(4))
    (rows, rows_inside), (columns, columns_inside) = (
        _linked(shape[axis + 1], out_shape[axis + 1], filter_shape[axis], *attributes[axis])
        for axis in (0, 1)
    )
    inside = _outer(tf.logical_and, rows_inside, columns_inside)
    pixel = _outer(lambda row, column: row * width + column, rows, columns)
    # One pixel more, for the taps that fall outside.
    pixels = tf.reshape(image, [batch, height * width, channels])
    pixels = tf.pad(pixels, [[0, 0], [0, 1], [0, 0]])
    patches = tf.gather(pixels, tf.where(inside, pixel, height * width), axis=1)
    return patches[..., tf.newaxis], inside[:, :, tf.newaxis, tf.newaxis]


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
    out_shape = tf.shape(gradient, out_type=tf.int64)
    filter_shape = tf.shape(filter, out_type=tf.int64)
    taps, channels = filter_shape[0] * filter_shape[1], filter_shape[2:]  # and the multiplier

    patches, inside = _patches(image, out_shape, filter_shape, attributes)
    zero = tf.zeros([], wide)

    # Products are [batch, oh * ow, kh * kw, channels, multiplier].
    products = patches * tf.reshape(weights, tf.concat([[taps], channels], 0))
    convolved = tf.reduce_sum(tf.where(inside, products, zero), axis=2)
    out_backprop_grad = tf.reshape(convolved, out_shape)
    if nchw:
        out_backprop_grad = tf.transpose(out_backprop_grad, [0, 3, 1, 2])

    pixels = [out_shape[0], out_shape[1] * out_shape[2], 1]
    products = patches * tf.reshape(gradient, tf.concat([pixels, channels], 0))
    filter_grad = tf.reduce_sum(tf.where(inside, products, zero), axis=[0, 1])
    filter_grad = tf.reshape(filter_grad, filter_shape)

    filter_grad = tf.cast(filter_grad, dtype)
    filter_grad.set_shape(filter.shape)
    out_backprop_grad = tf.cast(out_backprop_grad, dtype)
    out_backprop_grad.set_shape(out_backprop.shape)
    return None, filter_grad, out_backprop_grad
