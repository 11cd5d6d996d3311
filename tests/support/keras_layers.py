"""Keras's depthwise layers and ours, side by side: what the tests of tf_dwbp.keras share."""

import keras
import numpy as np
import tensorflow as tf

import tf_dwbp.keras

NAMES = ("depthwise", "separable")
LAYOUTS = ("channels_last", "channels_first")
OP, STOCKS_OP = "TfDwbp>DepthwiseConv2dNative", "DepthwiseConv2dNative"


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def images(data_format="channels_last", batch=2, size=(9, 10)):
    """The same ones in either layout."""
    images = random(batch, *size, 3).astype(np.float32)
    return images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)


def classes(name):
    if name == "depthwise":
        return tf_dwbp.keras.DepthwiseConv2D, keras.layers.DepthwiseConv2D
    return tf_dwbp.keras.SeparableConv2D, keras.layers.SeparableConv2D


def make(cls, *args, **kwargs):
    # No results in these tests are 4 wide, but for those of the test of just that.
    filters = (4,) if issubclass(cls, keras.layers.SeparableConv2D) else ()
    return cls(*filters, *args, **kwargs)


def set_weights(layer):
    layer.set_weights([0.3 * random(*weight.shape) for weight in layer.get_weights()])


def alike(name, shape, *args, **kwargs):
    """One of ours and one of Keras's, with the same weights."""
    ours, stock = (make(cls, *args, **kwargs) for cls in classes(name))
    for layer in (ours, stock):
        layer.build(shape)
        set_weights(layer)
    return ours, stock


def run(layer, images):
    """The layer's result, the factors of the sum that is derived, and its gradients."""
    images = tf.convert_to_tensor(images)
    variables = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(images)
        result = layer(images)
        upstream = tf.cast(random(*result.shape, seed=1), result.dtype)
        loss = tf.reduce_sum(result * upstream)
    return result, upstream, tape.gradient(loss, [images, *variables])


def op_types(function, *specs):
    """Those of a trace, functions that it calls included."""
    graph = tf.function(function).get_concrete_function(*specs).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return [node.op for node in nodes]
