"""`keras.layers.DepthwiseConv2D` and `keras.layers.SeparableConv2D` on the package's ops.

Keras's own layers, of which only the convolution is another: the same constructors, weights and
configurations. What differs: every combination of strides, dilations, layout and type is taken, on
CPU too, by one op and without a transposition; and `padding` may be two pairs of ints as well.
`convert` makes these of the layers that a model has already.

    model = keras.Sequential(
        [
            tf_dwbp.keras.DepthwiseConv2D(3, strides=2, dilation_rate=2, padding=((1, 2), (0, 3))),
            keras.layers.DepthwiseConv2D(3),
        ]
    )
    tf_dwbp.keras.convert(model)  # now both layers are ours

Importing the module registers the classes with Keras, which has to know them before it loads a
`.keras` file that holds them.
"""

from tf_dwbp import nn  # isort: skip  (says what is missing, if TensorFlow or the library is)

import inspect
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import tensorflow as tf

_REMEDY = "set KERAS_BACKEND=tensorflow in the environment before anything imports keras"
try:
    import keras
except ImportError as error:  # Where its backend is not installed, Keras names only that.
    raise ImportError(
        f"tf_dwbp.keras needs Keras, which cannot be imported: {error}. If tensorflow is not its "
        f"backend, {_REMEDY}"
    ) from error
if keras.config.backend() != "tensorflow":
    raise ImportError(
        f"tf_dwbp.keras needs Keras on tensorflow, but Keras's backend is "
        f"{keras.config.backend()}: {_REMEDY}"
    )


_T = TypeVar("_T")
_Layer = TypeVar("_Layer")  # of Keras, which has no types


def _constructor(stock: type) -> Callable[..., None]:
    """That of Keras's layer, which before Keras 3.15 refuses strides with dilations."""
    initialize: Callable[..., None] = stock.__init__  # type: ignore[misc]
    signature = inspect.signature(initialize)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        dilation_rate = bound.arguments.pop("dilation_rate", 1)
        initialize(*bound.args, **bound.kwargs)
        self.dilation_rate = _standardized(dilation_rate)

    vars(__init__)["__signature__"] = signature  # Keras, too, looks at it.
    return __init__


def _standardized(dilation_rate: object) -> tuple[int, int]:
    """As Keras has it, and with its errors; it has no public function for that."""
    # With a name and an initializer, it draws none from Keras's counters and random numbers.
    return keras.layers.DepthwiseConv2D(
        1, dilation_rate=dilation_rate, depthwise_initializer="zeros", name="dilation_rate"
    ).dilation_rate


class _OnOurOps:
    """Goes before Keras's class.

    Has no state: `convert` gives a layer that exists another class, and that is all.
    """

    # Of Keras's class.
    padding: Any
    kernel_size: tuple[int, int]
    depth_multiplier: int
    strides: tuple[int, int]
    data_format: str
    dilation_rate: tuple[int, int]
    use_bias: bool
    bias: Any
    activation: Callable[[Any], Any] | None
    name: str

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        if isinstance(self.padding, str):
            return super().compute_output_shape(input_shape)  # type: ignore[misc]
        # Keras tells the shape for an image that has been padded.
        padded = list(input_shape)
        first = 2 if self._nchw else 1
        for axis, pair in enumerate(self._pads(), first):
            if axis < len(padded) and (size := padded[axis]) is not None:
                padded[axis] = size + sum(pair)
        channels = 1 if self._nchw else -1
        kernel = (*self.kernel_size, padded[channels], self.depth_multiplier)
        arguments = (self.strides, "valid", self.data_format, self.dilation_rate)
        tensors = keras.KerasTensor(padded), keras.KerasTensor(kernel)
        shape = list(keras.ops.depthwise_conv(*tensors, *arguments).shape)
        shape[channels] = getattr(self, "filters", shape[channels])
        return tuple(shape)

    def _convolution(self, function: Callable[..., tf.Tensor], inputs: Any, *kernels: Any) -> Any:
        """What the layer returns; `function` is one of `tf_dwbp.nn`."""
        explicit = not isinstance(self.padding, str)
        layout = "NCHW" if self._nchw else "NHWC"
        outputs = function(
            keras.ops.convert_to_tensor(inputs),
            # In the compute dtype: Keras casts variables that are used inside of a call.
            *[keras.ops.convert_to_tensor(kernel) for kernel in kernels],
            strides=self._ordered(self.strides, 1, 1),
            padding=self._ordered(self._pads(), (0, 0), (0, 0)) if explicit else self.padding,
            data_format=layout,
            dilations=self.dilation_rate,
        )
        if self.use_bias:
            # keras.ops.add, which Keras's layers use, guesses the layout: where NCHW images are as
            # wide as there are channels, it adds the bias along the width.
            outputs = tf.nn.bias_add(outputs, keras.ops.convert_to_tensor(self.bias), layout)
        return outputs if self.activation is None else self.activation(outputs)

    @property
    def _nchw(self) -> bool:
        return self.data_format == "channels_first"

    def _ordered(self, rows_and_columns: Iterable[_T], batch: _T, channels: _T) -> list[_T]:
        """Something for each of the input's dimensions, in their order."""
        if self._nchw:
            return [batch, channels, *rows_and_columns]
        return [batch, *rows_and_columns, channels]

    def _pads(self) -> list[tuple[int, ...]]:
        """A `padding` that Keras's constructor lets pass, though its layers do not take it."""
        pairs = [tuple(pair) if isinstance(pair, list | tuple) else () for pair in self.padding]
        sizes = [size for pair in pairs for size in pair]
        if [len(pair) for pair in pairs] != [2, 2] or not all(
            isinstance(size, numbers.Integral) and int(size) >= 0 for size in sizes
        ):
            raise ValueError(
                "padding must be 'valid', 'same' or ((top, bottom), (left, right)), of ints that "
                f"are not negative, but is {self.padding!r}"
            )
        return pairs


@keras.saving.register_keras_serializable(package="tf_dwbp")
class DepthwiseConv2D(_OnOurOps, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` on `tf_dwbp.nn.depthwise_conv2d`.

    Args: those of Keras's layer, with these differences:
      strides: rows and columns may differ, for every type.
      padding: `"valid"`, `"same"`, or `((top, bottom), (left, right))`.
      dilation_rate: goes with any strides; rows and columns may differ.

    Input: a half, bfloat16, float or double tensor of the layer's compute dtype, `(batch, height,
    width, channels)` or, for `data_format="channels_first"`, `(batch, channels, height, width)`.

    Output: of the same type, with `channels * depth_multiplier` channels.

    Raises:
      ValueError: when Keras's layer does, but for the above, and when `padding`, which the
        constructor does not look at, is found to have none of these forms as the layer is built.
    """

    __init__ = _constructor(keras.layers.DepthwiseConv2D)

    def call(self, inputs: Any) -> Any:
        return self._convolution(nn.depthwise_conv2d, inputs, self.kernel)


@keras.saving.register_keras_serializable(package="tf_dwbp")
class SeparableConv2D(_OnOurOps, keras.layers.SeparableConv2D):
    """`keras.layers.SeparableConv2D` on `tf_dwbp.nn.separable_conv2d`.

    Args: those of Keras's layer, with the differences that `DepthwiseConv2D` names.

    Input, Raises: as for `DepthwiseConv2D`.

    Output: of the input's type, with `filters` channels.
    """

    __init__ = _constructor(keras.layers.SeparableConv2D)

    def call(self, inputs: Any) -> Any:
        return self._convolution(
            nn.separable_conv2d, inputs, self.depthwise_kernel, self.pointwise_kernel
        )


_OURS = {
    keras.layers.DepthwiseConv2D: DepthwiseConv2D,
    keras.layers.SeparableConv2D: SeparableConv2D,
}


def convert(model: _Layer) -> _Layer:
    """Makes Keras's DepthwiseConv2D and SeparableConv2D layers of a model the ones above, in place.

    They remain the same objects, with their weights, names and places in the model, however it is
    made: functional, sequential or subclassed, with layers that are shared, in nested models or
    inside of other layers. Nothing needs to be compiled again, and optimizers keep their state.

    Layers of classes derived from Keras's stay as they are, since what these do is not known. So
    does a `tf.function` that was traced before; but `fit`, `evaluate` and `predict`, of the model
    and of models inside of it, are traced afresh.

    Args:
      model: a `keras.Model`, or another layer.

    Returns:
      `model`.

    Raises:
      ValueError: when `model` is neither.
    """
    return _exchange(model, _OURS)


def revert(model: _Layer) -> _Layer:
    """The reverse of `convert`: the layers above become Keras's, in place.

    For a `.keras` file that is to be loaded where this package is not.

    Args:
      model: as for `convert`.

    Returns:
      `model`.

    Raises:
      ValueError: when `model` is not a layer, or one of its layers has a `padding` that Keras's do
        not take. Then nothing is changed.
    """
    return _exchange(model, {ours: stock for stock, ours in _OURS.items()})


def _exchange(model: _Layer, classes: dict[type, type]) -> _Layer:
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(f"model must be a keras.Model or another layer of Keras, but is {model!r}")
    layers = model._flatten_layers()  # No public way leads inside of all layers.
    exchanged = [layer for layer in layers if type(layer) in classes]
    for layer in exchanged:
        if not isinstance(layer.padding, str) and isinstance(layer, _OnOurOps):
            raise ValueError(
                "padding of a layer of Keras must be 'valid' or 'same', but that of "
                f"{layer.name} is {layer.padding!r}"
            )
    for layer in exchanged:
        layer.__class__ = classes[type(layer)]
    for layer in layers if exchanged else ():
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
    return model
