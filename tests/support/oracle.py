"""The definition, in NumPy and float64: an oracle for tests, one product of matrices a tap."""

import numpy as np
import tensorflow as tf


def pads(size, taps, stride, dilation, padding):
    """Output positions and padding before; `padding` is SAME, VALID or (before, after)."""
    reach = (taps - 1) * dilation + 1
    if padding == "SAME":
        outputs = -(-size // stride)
        return outputs, max(0, (outputs - 1) * stride + reach - size) // 2
    before, after = (0, 0) if padding == "VALID" else padding
    return max(0, (size + before + after - reach) // stride + 1), before


def forward(image, filter, strides=(1, 1), paddings=("SAME", "SAME"), dilations=(1, 1)):
    """NHWC. Pads with zeros, so operands have to be finite."""
    image, filter = np.asarray(image, np.float64), np.asarray(filter, np.float64)
    batch, *sizes, channels = image.shape
    taps, multiplier = filter.shape[:2], filter.shape[3]
    (rows, top), (columns, left) = map(pads, sizes, taps, strides, dilations, paddings)
    # More than any tap reaches.
    bottom, right = (np.add(taps, 1) * dilations + np.multiply((rows, columns), strides)).tolist()
    padded = np.pad(image, [(0, 0), (top, bottom), (left, right), (0, 0)])
    result = np.zeros([batch, rows, columns, channels, multiplier])
    for ky, kx in np.ndindex(*taps):
        y, x = ky * dilations[0], kx * dilations[1]
        seen = padded[:, y : y + rows * strides[0] : strides[0], :]
        seen = seen[:, :, x : x + columns * strides[1] : strides[1]]
        result += seen[..., None] * filter[ky, kx]
    return result.reshape(batch, rows, columns, channels * multiplier)


def gradients(image, filter, upstream, **attributes):
    """Of sum(forward * upstream), by its linearity: one basis vector after the other.

    Slow: for the smallest of tensors.
    """

    def by(array, at):
        found = np.zeros(array.shape)
        for index in np.ndindex(*array.shape):
            basis = np.zeros(array.shape)
            basis[index] = 1
            found[index] = np.vdot(forward(*at(basis), **attributes), upstream)
        return found

    return (
        by(np.asarray(image), lambda basis: (basis, filter)),
        by(np.asarray(filter), lambda basis: (image, basis)),
    )


def nchw(tensor):
    """An NHWC tensor as NCHW."""
    return tf.transpose(tensor, [0, 3, 1, 2])


def nhwc(tensor):
    """An NCHW tensor as NHWC."""
    return tf.transpose(tensor, [0, 2, 3, 1])
