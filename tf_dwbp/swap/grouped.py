"""Keras's grouped convolutions, where each channel is a group: depthwise ones by another name.

`keras.layers.Conv2D(groups=...)`, of which ConvNeXt is made, has XLA compile a Conv2D op even in
models that XLA does not compile, since on CPU stock has no other implementation of groups. A
stand-in has Keras, and the older Keras as well, compute the same by stock's depthwise op, which is
then swapped like any other.
"""

import collections
import functools
import importlib.abc
import importlib.machinery
import sys
import threading
import weakref

import tensorflow as tf

from tf_dwbp.swap import plug_in

WHERE = "Keras's convolutions with groups"

_STAND_IN = "_tf_dwbp_stands_in_for"

# Why convolutions were left to stock: of the process, and of each function that was traced.
_counts: collections.Counter = collections.Counter()
_counts_of_graphs = weakref.WeakKeyDictionary()
_counts_lock = threading.Lock()


def counts(graph=None) -> dict[str, int]:
    """How often a convolution was called, or traced, that was left to stock, by the reason.

    Args:
      graph: a function's graph, or None for all calls and functions.
    """
    with _counts_lock:
        return dict(_counts if graph is None else _counts_of_graphs.get(graph, {}))


def _count(why_not):
    with _counts_lock:
        _counts[why_not] += 1
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        while graph is not None:
            _counts_of_graphs.setdefault(graph, collections.Counter())[why_not] += 1
            graph = getattr(graph, "outer_graph", None)


def activate(active: bool) -> None:
    """Puts the stand-ins into each Keras that is imported, or will be, and takes them out."""
    if active:
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        for name in _PLACES:
            if name in sys.modules:
                _put_in(sys.modules[name])
        return
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name, (holder, attribute, _) in _PLACES.items():
        if name in sys.modules and (place := holder(sys.modules[name])) is not None:
            # Who has put something else there since may still call the stand-in, which from now on
            # calls Keras's function.
            stock = getattr(vars(place).get(attribute), _STAND_IN, None)
            if stock is not None:
                setattr(place, attribute, stock)


def _put_in(module):
    holder, attribute, make = _PLACES[module.__name__]
    place = holder(module)
    stock = getattr(place, attribute, None)
    if stock is not None and not hasattr(stock, _STAND_IN):
        stand_in = make(stock)
        setattr(stand_in, _STAND_IN, stock)
        setattr(place, attribute, stand_in)


class _Finder(importlib.abc.MetaPathFinder):
    """Sees to it that a Keras that is imported from now on gets its stand-in."""

    def find_spec(self, fullname, path, target=None):
        if fullname not in _PLACES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                if plug_in.selected():
                    _put_in(module)

            spec.loader.exec_module = exec_module
        return spec


_finder = _Finder()


def _keras_stand_in(stock):
    """For `conv` of Keras's backend, which Keras's layers and `keras.ops.conv` call."""

    @functools.wraps(stock)
    def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
        import keras

        layout = data_format or keras.config.image_data_format()
        if not _takes(inputs, kernel, strides, layout == "channels_first"):
            return stock(inputs, kernel, strides, padding, data_format, dilation_rate)
        module = sys.modules["keras.src.backend.tensorflow.nn"]
        kernel = _as_depthwise(module.convert_to_tensor(kernel), inputs, layout == "channels_first")
        strides, dilation_rate = _pair(strides), _pair(dilation_rate)
        return module.depthwise_conv(inputs, kernel, strides, padding, data_format, dilation_rate)

    return conv


def _legacy_stand_in(stock, package):
    """For what the layers of Keras 2 (`tf_keras`) call where there are groups."""

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


_LEGACY = "layers.convolutional.base_conv"

# Module -> what holds the function there, the function's name, and what makes a stand-in of it.
_PLACES = {
    "keras.src.backend.tensorflow.nn": (_itself, "conv", _keras_stand_in),
    **{
        f"{package}.{_LEGACY}": (
            _layer_class,
            "_jit_compiled_convolution_op",
            functools.partial(_legacy_stand_in, package=package),
        )
        for package in ("tf_keras.src", "keras.src")  # Keras 2.13 to 2.15 was called keras itself
    },
}


def _takes(inputs, kernel, strides, nchw):
    """Whether the depthwise op is to compute the convolution; counts those that it cannot."""
    if not plug_in.selected():
        return False
    why_not = _why_not(inputs, kernel, strides, nchw)
    if why_not:
        _count(why_not)
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
