"""Keras's grouped convolutions, where each channel is a group: depthwise ones by another name.

`keras.layers.Conv2D(groups=...)`, of which ConvNeXt is made, has XLA compile a Conv2D op even in
models that XLA does not compile, since on CPU stock has no other implementation of groups. The
stand-in has Keras compute the same by stock's depthwise op, which is then swapped like any other.
"""

import functools
import sys

import tensorflow as tf

MODULE, NAME = "keras.src.backend.tensorflow.nn", "conv"


def place():
    """The module that holds Keras's function; None without Keras, or with another backend."""
    # TensorFlow imports Keras. Nobody who does not use it should pay for it here.
    module = sys.modules.get(MODULE)
    return module if hasattr(module, NAME) and hasattr(module, "depthwise_conv") else None


def stand_in(stock, is_active):
    """A function like Keras's, that calls it unless the convolution is depthwise.

    Args:
      stock: Keras's function.
      is_active: tells whether to do anything.
    """

    @functools.wraps(stock)
    def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
        if not (is_active() and _is_depthwise(inputs, kernel, strides, data_format)):
            return stock(inputs, kernel, strides, padding, data_format, dilation_rate)
        module = sys.modules[MODULE]
        height, width, _, outputs = kernel.shape
        channels = inputs.shape[_channel_axis(data_format)]
        # Output channels are in the same order, those of an input channel side by side.
        kernel = tf.reshape(
            module.convert_to_tensor(kernel), [height, width, channels, outputs // channels]
        )
        strides, dilation_rate = _pair(strides), _pair(dilation_rate)
        return module.depthwise_conv(inputs, kernel, strides, padding, data_format, dilation_rate)

    return conv


def _is_depthwise(inputs, kernel, strides, data_format):
    """Whether stock's depthwise op computes the same convolution."""
    if len(inputs.shape) != 4 or len(kernel.shape) != 4 or None in kernel.shape:
        return False
    channels = inputs.shape[_channel_axis(data_format)]
    if channels in (None, 0, 1) or kernel.shape[2] != 1 or kernel.shape[3] % channels:
        return False
    strides = _pair(strides)  # of which stock's op has one for rows and columns
    return strides[0] == strides[1]


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _channel_axis(data_format):
    import keras

    return -1 if (data_format or keras.config.image_data_format()) == "channels_last" else 1
