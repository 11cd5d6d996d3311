"""Dilations that are not what was asked for."""

import numpy as np

from wrong.call import exhibit


@exhibit("forward")
def ignored(call):
    """tensorflow/tensorflow#56498: the op took dilations and computed as if there were none."""
    for axis in call.both:
        axis.dilation = 1


@exhibit("forward")
def result_not_stored(call):
    """Tencent/ncnn#315: with dilations the result went into a tensor of its own, and the caller's
    stayed as it was."""
    if (call.rows.dilation, call.columns.dilation) != (1, 1):
        return call.result(np.zeros(call.shapes[call.role]))


@exhibit("forward")
def one_for_both_axes(call):
    """PaddlePaddle/Paddle-Lite#5500: the kernel knew only one dilation for rows and columns."""
    call.columns.dilation = call.rows.dilation


@exhibit("input_grad")
def ignored_by_3x3(call):
    """PaddlePaddle/Paddle-Lite#4281: the kernel for 3x3 filters, and only that, ignored
    dilations."""
    if call.rows.taps == call.columns.taps == 3:
        for axis in call.both:
            axis.dilation = 1


@exhibit("forward")
def shape_with_strides(call):
    """tensorflow/tensorflow#57128: with both strides and dilations above 1, the result had a
    pixel less along each axis."""
    if all(axis.dilation > 1 and axis.stride > 1 and axis.outputs > 1 for axis in call.both):
        return call.result(call.sums()[:, :-1, :-1])


@exhibit("forward")
def strides_within(call):
    """tensorflow/tensorflow#31514: strides and dilations together gave something else than either
    means; here, taps lie both apart."""
    for axis in call.both:
        if axis.stride > 1:
            axis.dilation *= axis.stride
