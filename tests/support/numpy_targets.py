"""Functions of NumPy arrays with an op's signature: loops, right and wrong, without TensorFlow."""

import os
import sys

import numpy as np

# Written a third time, so that neither the reference nor the kernels judge themselves.


def forward(input, filter, **attributes):  # noqa: A002
    """The convolution, one product after the other, in float64."""
    return _forward(input, filter, attributes)


def wrong(input, filter, **attributes):  # noqa: A002
    """Takes the multiplier's channels in the wrong order."""
    kernel_height, kernel_width, channels, multiplier = filter.shape
    shuffled = filter.reshape(kernel_height, kernel_width, multiplier, channels)
    return _forward(input, shuffled.transpose(0, 1, 3, 2), attributes)


def writing(input, filter, **attributes):  # noqa: A002
    """Right, but it writes to its operands."""
    result = _forward(input, filter, attributes)
    input[...], filter[...] = 0, 0
    return result


def alone(**arguments):
    """Right, unless TensorFlow has been loaded into the process."""
    loaded = [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]
    assert not loaded, f"{len(loaded)} modules of TensorFlow"
    return forward(**arguments)


def refusing(**arguments):
    """Takes no dilations."""
    if max(arguments["dilations"]) > 1:
        raise NotImplementedError("no dilations")
    return forward(**arguments)


def _forward(image, filter, attributes):  # noqa: A002
    axes = [attributes["data_format"].index(axis) for axis in "NHWC"]
    images = image.transpose(axes).astype(np.float64)
    strides, dilations = ([attributes[k][i] for i in axes[1:3]] for k in ("strides", "dilations"))
    pads = [_pads(images.shape[i], filter.shape[i - 1], i, axes, attributes) for i in (1, 2)]
    padded = np.pad(images, [(0, 0), *pads, (0, 0)])
    sizes = [
        max(0, (padded.shape[i + 1] - (filter.shape[i] - 1) * dilations[i] - 1) // strides[i] + 1)
        for i in (0, 1)
    ]
    channels, multiplier = filter.shape[2:]
    result = np.zeros((len(images), *sizes, channels * multiplier))
    for y, x, k in np.ndindex(*sizes, channels * multiplier):
        for ky, kx in np.ndindex(*filter.shape[:2]):
            pixels = padded[
                :,
                y * strides[0] + ky * dilations[0],
                x * strides[1] + kx * dilations[1],
                k // multiplier,
            ]
            result[:, y, x, k] += pixels * float(filter[ky, kx, k // multiplier, k % multiplier])
    return result.transpose(np.argsort(axes)).astype(image.dtype)


def _pads(size, taps, i, axes, attributes):
    """How many zeros stand before and behind an axis of the image."""
    if attributes["padding"] == "EXPLICIT":
        return tuple(attributes["explicit_paddings"][2 * axes[i] : 2 * axes[i] + 2])
    if attributes["padding"] == "VALID":
        return 0, 0
    stride, dilation = attributes["strides"][axes[i]], attributes["dilations"][axes[i]]
    outputs = -(-size // stride)
    needed = max(0, (outputs - 1) * stride + (taps - 1) * dilation + 1 - size)
    return needed // 2, needed - needed // 2


def placed(**arguments):
    """Refuses operands that do not begin 3 and 1 elements behind a boundary of 64 bytes."""
    for name, elements in (("input", 3), ("filter", 1)):
        array = arguments[name]
        beside = array.ctypes.data % 64
        if beside != elements * array.itemsize:
            raise ValueError(f"{name} begins {beside} bytes behind a boundary")
    return forward(**arguments)


def deadly(**arguments):
    """Dies of dilations."""
    if max(arguments["dilations"]) > 1:
        os.abort()
    return forward(**arguments)


def reusing(buffers={}, **arguments):  # noqa: B006
    """Right, in one and the same array each time, which it clears first."""
    for buffer in buffers.values():
        buffer[...] = 0
    result = forward(**arguments)
    buffer = buffers.setdefault(result.shape, np.empty_like(result))
    buffer[...] = result
    return buffer
