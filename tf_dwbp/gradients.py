"""Gradients of the ops, by the ops: any order of differentiation stays inside the family.

Every op but the fused one is linear in each of its two tensors. Its gradient with respect to one of
them is the op that computes this operand of the convolution from the other two, the incoming
gradient in place of the op's own result. The fused op's is that of its activation first.
"""

import math

import tensorflow as tf

from tf_dwbp import _registries, family, ops

_ATTRIBUTES = ("strides", "padding", "explicit_paddings", "data_format", "dilations")


def attributes_of(op):
    """The keyword arguments of an op of the family, other than its tensors and sizes."""
    return {
        name: tf.compat.as_str(value) if isinstance(value, bytes) else value
        for name, value in ((name, op.get_attr(name)) for name in _ATTRIBUTES)
    }


def _like(result, tensor):
    """Sizes that were data may have lost what was known while tracing."""
    result.set_shape(tensor.shape)
    return result


def _input_grad(input, filter, output, attributes):  # noqa: A002
    result = ops.depthwise_conv2d_backprop_input(tf.shape(input), filter, output, **attributes)
    return _like(result, input)


def _filter_grad(input, filter, output, attributes):  # noqa: A002
    result = ops.depthwise_conv2d_backprop_filter(input, tf.shape(filter), output, **attributes)
    return _like(result, filter)


def _forward(input, filter, output, attributes):  # noqa: A002
    return _like(ops.depthwise_conv2d(input, filter, **attributes), output)


@_registries.gradient(family.OPS["forward"].ours)
def _depthwise_conv2d_grad(op, grad):
    input, filter = op.inputs  # noqa: A001
    attributes = attributes_of(op)
    return (
        _input_grad(input, filter, grad, attributes),
        _filter_grad(input, filter, grad, attributes),
    )


@_registries.gradient(family.OPS["input_grad"].ours)
def _depthwise_conv2d_backprop_input_grad(op, grad):
    _, filter, out_backprop = op.inputs  # noqa: A001
    attributes = attributes_of(op)
    return (
        None,
        _filter_grad(grad, filter, out_backprop, attributes),
        _forward(grad, filter, out_backprop, attributes),
    )


@_registries.gradient(family.OPS["filter_grad"].ours)
def _depthwise_conv2d_backprop_filter_grad(op, grad):
    input, _, out_backprop = op.inputs  # noqa: A001
    attributes = attributes_of(op)
    return (
        _input_grad(input, grad, out_backprop, attributes),
        None,
        _forward(input, grad, out_backprop, attributes),
    )


# The gradient of an activation, from the incoming one and the activation's result.
_OF_RESULT = {
    "linear": lambda grad, result, alpha: grad,
    "relu": lambda grad, result, alpha: tf.raw_ops.ReluGrad(gradients=grad, features=result),
    "relu6": lambda grad, result, alpha: tf.raw_ops.Relu6Grad(gradients=grad, features=result),
    "elu": lambda grad, result, alpha: tf.raw_ops.EluGrad(gradients=grad, outputs=result),
    "leaky_relu": lambda grad, result, alpha: tf.raw_ops.LeakyReluGrad(
        gradients=grad, features=result, alpha=alpha
    ),
}
# Of others the result does not tell the slope: two arguments may have the same.
_OF_ARGUMENT = {
    "leaky_relu": lambda x, alpha: tf.nn.leaky_relu(x, alpha),
    "silu": lambda x, alpha: x * tf.sigmoid(x),
    "hard_silu": lambda x, alpha: x * tf.nn.relu6(x + 3) / 6,
    # Not tf.nn.gelu, whose constants have float's precision for double, too.
    "gelu": lambda x, alpha: x * tf.math.erfc(x * -math.sqrt(1 / 2)) / 2,
    "gelu_tanh": lambda x, alpha: x * tf.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)),
}


@_registries.gradient(family.OUR_FUSED)
def _fused_depthwise_conv2d_grad(op, grad):
    input, filter, *bias = op.inputs  # noqa: A001
    attributes = attributes_of(op)
    activation, alpha = tf.compat.as_str(op.get_attr("activation")), op.get_attr("alpha")
    if activation in _OF_RESULT and (activation != "leaky_relu" or alpha > 0):
        grad = _OF_RESULT[activation](grad, op.outputs[0], alpha)
    else:
        sums = ops.fused_depthwise_conv2d(input, filter, *(bias or [None]), **attributes)
        with tf.GradientTape() as tape:
            tape.watch(sums)
            result = _OF_ARGUMENT[activation](sums, alpha)
        grad = tape.gradient(result, sums, grad)
    of_bias = [
        tf.raw_ops.BiasAddGrad(out_backprop=grad, data_format=attributes["data_format"])
        for _ in bias
    ]
    return (
        _input_grad(input, filter, grad, attributes),
        _filter_grad(input, filter, grad, attributes),
        *of_bias,
    )
