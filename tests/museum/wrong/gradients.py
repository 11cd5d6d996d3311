"""Gradients that a forward op does not have, or that are none."""

import tensorflow as tf

from wrong.call import ATTRIBUTES, Call, exhibit


@exhibit("forward", order=1)
def weights_get_none(arguments):
    """gungui98/Pytorch-Depthwise-Conv3d#4: the gradient of the weights was always 0."""
    return _with_gradient(arguments, tf.zeros_like)


@exhibit("forward", order=2)
def no_second_order(arguments):
    """tensorflow/tensorflow#22502: the gradient had no gradient of its own."""
    return _with_gradient(arguments, tf.identity)


def _with_gradient(arguments, change):
    """The right op, with a gradient of which the filter's part is changed, and which has none."""
    attributes = {name: arguments[name] for name in ATTRIBUTES}

    def compute(op, **operands):
        return tf.constant(Call(op, **operands, **attributes).result())

    @tf.custom_gradient
    def convolve(input, filter):  # noqa: A002
        def gradient(upstream):
            of_input = compute(
                "input_grad", input_sizes=input.shape, filter=filter, out_backprop=upstream
            )
            of_filter = compute(
                "filter_grad", input=input, filter_sizes=filter.shape, out_backprop=upstream
            )
            return of_input, change(of_filter)

        return compute("forward", input=input, filter=filter), gradient

    return convolve(arguments["input"], arguments["filter"])
