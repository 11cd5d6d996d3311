"""Strides that are not what was asked for."""

import numpy as np

from wrong.call import exhibit


@exhibit("forward")
def unequal_refused(call):
    """tensorflow/tensorflow#33005: different strides along rows and columns are refused."""
    if call.rows.stride != call.columns.stride:
        raise NotImplementedError("only equal length strides in the row and column dimensions")


@exhibit("forward")
def unequal_give_zeros(call):
    """google-ai-edge/LiteRT#9256: under SAME, some different strides along rows and columns gave
    zeros everywhere."""
    if call.padding == "SAME" and call.rows.stride != call.columns.stride:
        return call.result(np.zeros(call.shapes[call.role]))


@exhibit("filter_grad")
def last_row_unseen(call):
    """pytorch/pytorch#50042: with 24 channels, strides of 2 and padding, the gradient missed the
    last row of the image; here with any multiple of 8 channels."""
    if call.channels % 8 == 0 and call.rows.stride == 2 and call.rows.pad_before:
        call.rows.size -= 1


@exhibit("input_grad")
def narrow_images(call):
    """fujitsu/oneDNN#43: with column strides above 1, more than 16 channels and images narrower
    than 17, the gradient was wrong; here, it misses the last column."""
    if call.columns.stride > 1 and call.channels > 16 and call.columns.size < 17:
        call.columns.size -= 1


@exhibit("input_grad")
def pixels_between(call):
    """yonghenglh6/DepthwiseConvolution#20: with strides of 2, the gradient differed from an
    ordinary convolution's; here, pixels that a tap skips take the products of a neighbour."""
    sums = call.sums()
    for y in range(1, sums.shape[1]):
        if call.rows.stride > 1 and (y + call.rows.pad_before) % call.rows.stride:
            sums[:, y] = sums[:, y - 1]
    return call.result(sums)


@exhibit("filter_grad")
def forgotten_in_the_gradient(call):
    """enggen/Deep-Learning-Coursera#7: the backward pass did not multiply a pixel's position by the
    stride."""
    for axis in call.both:
        axis.stride = 1


@exhibit("input_grad")
def uncovered_pixels_cut_off(call):
    """torch/DEPRECEATED-torch7-distro#20: where strides leave the last pixels uncovered, the
    gradient was smaller than the image."""
    sums = call.sums()
    reach = [(axis.outputs - 1) * axis.stride + axis.extent - axis.pad_before for axis in call.both]
    return call.result(sums[:, : max(0, reach[0]), : max(0, reach[1])])


@exhibit("input_grad")
def pixels_of_no_tap_not_zeroed(call):
    """ROCm/composable_kernel#132: with a 1x1 filter and strides of 2, pixels that no tap meets kept
    what was in memory."""
    sums = call.sums()
    for axis, spatial in enumerate(call.both, 1):
        met = np.zeros(spatial.size, bool)
        for k in range(spatial.taps):
            met[spatial.tap(k)[1]] = True
        np.moveaxis(sums, axis, 0)[~met] = 7
    return call.result(sums)
