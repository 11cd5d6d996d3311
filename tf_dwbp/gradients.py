"""Gradients of the ops, by the ops: any order of differentiation stays inside the family.

Every op is linear in each of its two tensors. Its gradient with respect to one of them is the op
that computes this operand of the convolution from the other two, the incoming gradient in place
of the op's own result.
"""

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
