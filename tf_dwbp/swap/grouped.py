"""Keras's grouped convolutions, where each channel is a group: depthwise ones by another name.

`keras.layers.Conv2D(groups=...)`, of which ConvNeXt is made, has XLA compile a Conv2D op even in
models that XLA does not compile, since on CPU stock has no other implementation of groups. A
stand-in has Keras, and the older Keras as well, compute the same by stock's depthwise op, which is
then swapped like any other.
"""

import functools
import sys
import warnings

import tensorflow as tf

from tf_dwbp.swap import plug_in
from tf_dwbp.swap.stand_ins import Place, StandIns, Tally

WHERE = "Keras's convolutions with groups"

# Why convolutions were left to stock.
_tally = Tally()


def counts(graph=None) -> dict[str, int]:
    """How often a convolution was called, or traced, that was left to stock, by the reason.

    Args:
      graph: a function's graph, or None for all calls and functions.
    """
    return _tally.counts(graph)


def activate(active: bool) -> None:
    """Puts the stand-ins into each Keras that is imported, or will be, and takes them out."""
    _stand_ins.activate(active)


def _keras_stand_in(stock, module):
    """For `conv` of Keras's backend, which Keras's layers and `keras.ops.conv` call."""

    @functools.wraps(stock)
    def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
        import keras

        layout = data_format or keras.config.image_data_format()
        if not _takes(inputs, kernel, strides, layout == "channels_first"):
            return stock(inputs, kernel, strides, padding, data_format, dilation_rate)
        kernel = _as_depthwise(module.convert_to_tensor(kernel), inputs, layout == "channels_first")
        strides, dilation_rate = _pair(strides), _pair(dilation_rate)
        return module.depthwise_conv(inputs, kernel, strides, padding, data_format, dilation_rate)

    return conv


def _legacy_stand_in(stock, module):
    """For what the layers of Keras 2 (`tf_keras`) call where there are groups."""

    package = module.__name__.removesuffix(f".{_LEGACY}")

    def convolve(layer, inputs, kernel):
        nchw = layer.data_format == "channels_first"
        if not _takes(inputs, kernel, layer.strides, nchw):
            return stock.__get__(layer, type(layer))(inputs, kernel)
        backend = sys.modules[f"{package}.backend"]
        return backend.depthwise_conv2d(
            inputs,
            _as_depthwise(kernel, inputs, nchw),
            tuple(layer.strides),
            layer.padding,
            layer.data_format,
            tuple(layer.dilation_rate),
        )

    return convolve


def _itself(module):
    return module


def _layer_class(module):
    return getattr(module, "Conv", None)


def _warn_unless_known(backend):
    """Says that a Keras to come has `conv` elsewhere; into its package nothing is put."""
    if plug_in.selected() and not any(name in sys.modules for name in BACKENDS):
        warnings.warn(
            f"{backend.__name__} has its convolutions where tf_dwbp does not look for them: those "
            "with groups are left to stock",
            stacklevel=2,
        )


_LEGACY = "layers.convolutional.base_conv"

# The module that has `conv` of Keras's TensorFlow backend: from Keras 3.16 on, and before. Each is
# imported with the package `_BACKEND`.
_BACKEND = "keras.src.backend.tensorflow"
BACKENDS = (f"{_BACKEND}.ops.nn", f"{_BACKEND}.nn")

_stand_ins = StandIns(
    {
        **{module: Place(_itself, "conv", _keras_stand_in) for module in BACKENDS},
        _BACKEND: Place(_warn_unless_known, "conv", _keras_stand_in),
        **{
            f"{package}.{_LEGACY}": Place(
                _layer_class, "_jit_compiled_convolution_op", _legacy_stand_in
            )
            # Keras 2.13 to 2.15 was called keras itself.
            for package in ("tf_keras.src", "keras.src")
        },
    },
    active=lambda: bool(plug_in.selected()),
)


def _takes(inputs, kernel, strides, nchw):
    """Whether the depthwise op is to compute the convolution; counts those that it cannot."""
    if not plug_in.selected():
        return False
    why_not = _why_not(inputs, kernel, strides, nchw)
    if why_not:
        _tally.add(why_not)
    return why_not == ""


def _why_not(inputs, kernel, strides, nchw):
    """Why stock's depthwise op cannot compute it; "" if it can, None if it is not depthwise."""
    if len(inputs.shape) != 4 or len(kernel.shape) != 4:
        return None
    channels, outputs = inputs.shape[1 if nchw else -1], kernel.shape[3]
    if kernel.shape[2] != 1 or channels in (0, 1):
        return None
    if channels is None or outputs is None:
        return "how many channels there are is not known while tracing"
    if outputs % channels:
        return None
    if None in kernel.shape:
        return "the kernel's size is not known while tracing"
    rows, columns = _pair(strides)
    if rows != columns:
        return f"stock's depthwise op has no strides of {rows} and {columns}"
    return ""


def _as_depthwise(kernel, inputs, nchw):
    """Output channels are in the same order, those of an input channel side by side."""
    height, width, _, outputs = kernel.shape
    channels = inputs.shape[1 if nchw else -1]
    return tf.reshape(kernel, [height, width, channels, outputs // channels])


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)
