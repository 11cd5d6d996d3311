"""Padding of a wrong size, or in a wrong place."""

from wrong.call import exhibit


@exhibit("forward")
def symmetric(call):
    """vtjeng/MIPVerify.jl#23: SAME put as much padding in front as behind, where the odd pixel
    belongs behind."""
    if call.padding == "SAME":
        for axis in call.both:
            axis.pad_before = max(axis.pad_before, axis.pad_after)


@exhibit("forward")
def one_amount_for_both_ends(call):
    """microsoft/nnfusion#192: asymmetric padding was computed as if what is behind were in front,
    too."""
    for axis in call.both:
        axis.pad_before = axis.pad_after


@exhibit("forward")
def less_than_nothing(call):
    """tensorflow/tfjs#6629: with strides of 2, filters of 1 along an axis were shifted under SAME,
    whose padding comes out negative there."""
    if call.padding == "SAME":
        for axis in call.both:
            amount = (axis.outputs - 1) * axis.stride + axis.extent - axis.size
            axis.pad_before = amount // 2


@exhibit("forward")
def of_the_undilated_filter(call):
    """tensorflow/tflite-micro#2319: layers with dilations were wrong; here, SAME is computed of the
    filter without them."""
    if call.padding == "SAME":
        for axis in call.both:
            amount = (axis.outputs - 1) * axis.stride + axis.taps - axis.size
            axis.pad_before = max(0, amount) // 2


@exhibit("input_grad")
def one_pixel_off(call):
    """alibaba/MNN#951: the transposed convolution's padding was one pixel too small, so that all
    results lay up and left."""
    for axis in call.both:
        axis.pad_before -= 1


@exhibit("forward")
def unknown_to_winograd(call):
    """openvinotoolkit/openvino#33681: the Winograd kernel took calls with padding, which it did not
    add."""
    if all(axis.taps == 3 and axis.stride == axis.dilation == 1 for axis in call.both):
        for axis in call.both:
            axis.pad_before = 0
