"""BatchNormalization in training, by TensorFlow's own fused op.

This is not a depthwise op. Keras 3 computes the layer by some ten small ops, each of which reads
and writes the whole tensor, although TensorFlow has one, FusedBatchNormV3, and one more for its
gradients. While asked for, the layers of Keras 3, and those of `tf_keras` that it does not fuse
itself, are computed by these when they are called in training, with Keras's meaning.

The seam is the layer's `call`, the only place where all of it comes together: `keras.ops.moments`
and `keras.ops.batch_normalization` are called one after the other, from outside of Keras too, and
neither knows of the other. A call that is not covered goes to Keras's own `call`, as it came.
"""

import functools

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from tf_dwbp.swap import plug_in
from tf_dwbp.swap.stand_ins import Place, StandIns, Tally

_DTYPES = ("float32", "bfloat16", "float16")  # the fused op's; its statistics are float32

# In which both Keras only find out the shapes of results.
_SCRATCH_GRAPHS = ("scratch_graph", "keras_graph")

# Layers' names, and why they were left to Keras, "" if they were not.
_tally = Tally()


def counts(graph=None) -> dict[tuple[str, str], int]:
    """How often each layer was called, or traced, in training.

    Args:
      graph: a function's graph, or None for all calls and functions.

    Returns:
      By the layer's name, and the reason why it was left to Keras: "" if the fused op computes it.
    """
    return _tally.counts(graph)


def activate(active: bool) -> None:
    """Puts the stand-ins into each Keras that is imported, or will be, and takes them out."""
    _stand_ins.activate(active)


def _stand_in(stock, module):
    if hasattr(module, "BatchNormalizationBase"):
        why_not, fused = _legacy_why_not, _legacy_fused
    elif module.backend.backend() == "tensorflow":
        why_not, fused = _keras_why_not, _keras_fused
    else:
        return None

    @tf.autograph.experimental.do_not_convert
    def compute(layer, inputs, training, mask):
        why = None
        if plug_in.batch_norm_selected() and isinstance(inputs, tf.Tensor):
            why = why_not(module, stock, layer, inputs, training, mask)
        if why is not None and not _in_scratch_graph():
            _tally.add((layer.name, why))
        if why == "":
            return fused(module, layer, inputs)
        return stock(layer, inputs, training=training, mask=mask)

    # Both Keras look at the names of the parameters, of which `compute` has lost its own.
    @functools.wraps(stock)
    def call(self, inputs, training=None, mask=None):
        return compute(self, inputs, training, mask)

    return call


def _holder(module):
    return getattr(module, "BatchNormalizationBase", getattr(module, "BatchNormalization", None))


_stand_ins = StandIns(
    {
        f"{package}.layers.normalization.batch_normalization": Place(_holder, "call", _stand_in)
        for package in ("tf_keras.src", "keras.src")
    },
    active=plug_in.batch_norm_selected,
)


def _keras_why_not(module, stock, layer, inputs, training, mask):
    """Why Keras is to compute the layer; "" if it is not, None if nothing is normalized anew."""
    if not isinstance(training, (bool, int)) or not training or not layer.trainable:
        return None
    if module.backend.in_stateless_scope():
        return "the call is stateless: a gradient may be taken of the moving statistics"
    if getattr(layer, "renorm", False):
        return "renorm=True"
    if layer.synchronized:
        return "synchronized=True"
    return _why_not(module, stock, layer, inputs, mask, [layer.axis], ["_moments"])


def _legacy_why_not(module, stock, layer, inputs, training, mask):
    """The same for `tf_keras`."""
    training = module.control_flow_util.constant_value(layer._get_training_value(training))
    if layer.fused or (training is not None and not training):
        return None
    if training is None:
        return "whether it trains is not known while tracing"
    for option in ("renorm", "virtual_batch_size", "adjustment", "synchronized"):
        if getattr(layer, option, None):
            return option if option == "adjustment" else f"{option}={getattr(layer, option)}"
    methods = ["_moments", "_calculate_mean_and_var", "_no_sync_calculate_mean_and_var"]
    return _why_not(module, stock, layer, inputs, mask, layer.axis, methods)


def _why_not(module, stock, layer, inputs, mask, axes, methods):
    """Why the fused op cannot compute what Keras would; "" if it can."""
    rank = inputs.shape.rank
    if mask is not None:
        return "a mask"
    if rank is None or inputs.shape[-1] is None:
        return "rank or channels are not known while tracing"
    if rank not in (2, 3, 4, 5):
        return f"inputs of {rank} dimensions"
    if [axis % rank for axis in axes] != [rank - 1]:
        return f"axis {', '.join(map(str, axes))} of {rank} dimensions"
    if inputs.dtype.name not in _DTYPES or inputs.dtype.name != layer.compute_dtype:
        return f"inputs of type {inputs.dtype.name} for a layer that computes {layer.compute_dtype}"
    if inputs.shape.num_elements() in (0, inputs.shape[-1]):
        return "fewer than two values in a channel"
    if getattr(stock, "__globals__", None) is not vars(module):
        return "somebody else has replaced Keras's call"
    for name in methods:
        method = getattr(type(layer), name, None)
        if getattr(method, "__globals__", None) is not vars(module) or name in vars(layer):
            return f"{type(layer).__name__} has a {name} of its own"
    if not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    ):
        return "XLA compiles it"
    return ""


def _in_scratch_graph():
    name = "" if tf.executing_eagerly() else getattr(tf.compat.v1.get_default_graph(), "name", "")
    return name.startswith(_SCRATCH_GRAPHS)


def _keras_fused(module, layer, inputs):
    """What `call` of Keras 3 does in training."""

    def weight(variable):
        return None if variable is None else module.ops.cast(variable, "float32")

    outputs, *statistics = _normalized(
        inputs, weight(layer.gamma), weight(layer.beta), layer.epsilon
    )
    moving = (layer.moving_mean, layer.moving_variance)
    for variable, value in zip(moving, statistics, strict=True):
        variable.assign(weight(variable) * layer.momentum + value * (1.0 - layer.momentum))
    return outputs


def _legacy_fused(module, layer, inputs):
    """What `call` of `tf_keras` does in training."""
    outputs, *statistics = _normalized(inputs, layer.gamma, layer.beta, layer.epsilon)
    size = tf.shape(inputs)[0] if layer._support_zero_size_input() else None
    moving = (layer.moving_mean, layer.moving_variance)
    for variable, value in zip(moving, statistics, strict=True):
        layer.add_update(
            functools.partial(layer._assign_moving_average, variable, value, layer.momentum, size)
        )
    return outputs


def _normalized(inputs, gamma, beta, epsilon):
    """Normalizes the last axis by the fused op.

    Args:
      inputs: of type float32, bfloat16 or float16, and shape `[..., channels]`, of rank 2 to 5.
      gamma, beta: of type float32 and shape `[channels]`, or None.
      epsilon: a float. `tf.nn.fused_batch_norm` would take no smaller one than 1.001e-5.

    Returns:
      The outputs, like the inputs, and mean and biased variance, of type float32 and shape
      `[channels]`.
    """
    rank, channels = inputs.shape.rank, inputs.shape[-1]
    added = list(range(1, 5 - rank))  # axes of size one that make an image of it
    images = inputs
    for axis in added:
        images = tf.expand_dims(images, axis)
    none = tf.zeros([0])
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=tf.ones([channels]) if gamma is None else gamma,
        offset=tf.zeros([channels]) if beta is None else beta,
        mean=none,
        variance=none,
        epsilon=epsilon,
        data_format="NDHWC" if rank == 5 else "NHWC",
        is_training=True,
    )
    if added:
        outputs = tf.squeeze(outputs, added)
    # The op has divided by one less than the number of values, as Keras does not.
    values = inputs.shape.num_elements()
    if values is not None:
        variance *= 1 - channels / values
    else:
        values = tf.cast(tf.size(inputs, tf.int64) // channels, tf.float32)
        # Of one value it is zero, or NaN as its mean may be, whatever the op says.
        variance = tf.where(values > 1, variance * ((values - 1) / values), mean - mean)
    return outputs, mean, variance
