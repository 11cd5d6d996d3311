"""What the op means: a depthwise convolution's input gradient, in float64, from the definition.

The forward convolution of `in` [B, H, W, C] with `filter` [kh, kw, C, M] is

    out[b, oy, ox, c * M + m] = sum over ky, kx of
        in[b, oy * sy + ky * dy - pad_top, ox * sx + kx * dx - pad_left, c] * filter[ky, kx, c, m]

with strides (sy, sx) and dilations (dy, dx). A tap that falls outside the image is absent: it is
not a product with zero, so that an Inf or NaN in the filter reaches only the pixels that it
really touches.

The input gradient is the transpose of that linear map, applied to `out_backprop`. Hence this
module walks over the filter's taps and adds each tap's products to the pixels that the forward
pass would have read.

Its functions take the arguments of `tf.raw_ops.DepthwiseConv2dNativeBackpropInput`: `input_sizes`,
`strides` and `dilations` in the order of `data_format`, `explicit_paddings` with two numbers for
each dimension in that order.
"""

import numpy as np


def output_size(size, filter_size, stride, dilation, padding, explicit=(0, 0)):
    """The number of output pixels along one axis; 0 where the dilated filter does not fit."""
    if padding == "SAME":
        return -(-size // stride)
    extent = (filter_size - 1) * dilation + 1
    before, after = explicit if padding == "EXPLICIT" else (0, 0)
    return max(0, (size + before + after - extent) // stride + 1)


def pad_before(size, filter_size, stride, dilation, padding, explicit=(0, 0)):
    """The padding in front of the first pixel along one axis. SAME puts the odd one behind."""
    if padding == "SAME":
        extent = (filter_size - 1) * dilation + 1
        outputs = output_size(size, filter_size, stride, dilation, padding)
        return max(0, (outputs - 1) * stride + extent - size) // 2
    return explicit[0] if padding == "EXPLICIT" else 0


def out_backprop_shape(
    input_sizes,
    filter_shape,
    strides,
    padding,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(1, 1, 1, 1),
):
    """The shape of the forward pass's output, which is that of `out_backprop`."""
    rows, columns = _axes(
        input_sizes, filter_shape, strides, padding, explicit_paddings, data_format, dilations
    )
    batch, depth = input_sizes[0], filter_shape[2] * filter_shape[3]
    if data_format == "NHWC":
        return (batch, rows.outputs, columns.outputs, depth)
    return (batch, depth, rows.outputs, columns.outputs)


def input_grad(
    input_sizes,
    filter,
    out_backprop,
    strides,
    padding,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(1, 1, 1, 1),
):
    """The gradient with respect to the input, as float64, in the layout of `data_format`."""
    filter = np.asarray(filter).astype(np.float64)
    out_backprop = np.asarray(out_backprop).astype(np.float64)
    rows, columns = _axes(
        input_sizes, filter.shape, strides, padding, explicit_paddings, data_format, dilations
    )
    if data_format == "NCHW":
        out_backprop = out_backprop.transpose(0, 2, 3, 1)
    channels, multiplier = filter.shape[2:]
    out_backprop = out_backprop.reshape(*out_backprop.shape[:3], channels, multiplier)

    gradient = np.zeros((input_sizes[0], rows.size, columns.size, channels))
    for ky in range(filter.shape[0]):
        for kx in range(filter.shape[1]):
            outputs_y, inputs_y = rows.tap(ky)
            outputs_x, inputs_x = columns.tap(kx)
            products = out_backprop[:, outputs_y, outputs_x] * filter[ky, kx]
            gradient[:, inputs_y, inputs_x] += products.sum(axis=-1)
    return gradient if data_format == "NHWC" else gradient.transpose(0, 3, 1, 2)


def absolute_products(input_sizes, filter, out_backprop, *args, **kwargs):
    """For each element of the gradient the sum of the absolute values of its products."""
    return input_grad(input_sizes, np.abs(filter), np.abs(out_backprop), *args, **kwargs)


def product_counts(input_sizes, filter, out_backprop, *args, **kwargs):
    """For each element of the gradient the number of products that are summed."""
    ones, ones_backprop = np.ones(np.shape(filter)), np.ones(np.shape(out_backprop))
    return input_grad(input_sizes, ones, ones_backprop, *args, **kwargs)


class _Axis:
    """One spatial axis of a call."""

    def __init__(self, size, filter_size, stride, dilation, padding, explicit):
        description = (int(size), int(filter_size), int(stride), int(dilation), padding, explicit)
        self.size, _, self.stride, self.dilation, _, _ = description
        self.outputs = output_size(*description)
        self.pad_before = pad_before(*description)

    def tap(self, k):
        """The outputs that use tap k inside the image, and the inputs that they read, as slices."""
        offset = k * self.dilation - self.pad_before
        first = max(0, -(offset // self.stride))
        last = min(self.outputs - 1, (self.size - 1 - offset) // self.stride)
        if last < first:
            return slice(0, 0), slice(0, 0)
        start = first * self.stride + offset
        stop = last * self.stride + offset + 1
        return slice(first, last + 1), slice(start, stop, self.stride)


def _axes(input_sizes, filter_shape, strides, padding, explicit_paddings, data_format, dilations):
    height = data_format.index("H")
    return [
        _Axis(
            input_sizes[axis],
            filter_shape[axis - height],
            strides[axis],
            dilations[axis],
            padding,
            tuple(explicit_paddings[2 * axis : 2 * axis + 2]),
        )
        for axis in (height, height + 1)
    ]
