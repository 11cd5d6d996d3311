"""Channels, multipliers, and the order that they lie in."""

import numpy as np

from wrong.call import exhibit


@exhibit("input_grad")
def multiplier_of_one_assumed(call):
    """tensorflow/tensorflow#126380: Metal's gradients were right only for a multiplier of 1; here,
    each channel sums its first output alone."""
    for role in ("filter", "output"):
        call.arrays[role] = call.arrays[role][..., :1]


@exhibit("filter_grad")
def outputs_by_multiplier_first(call):
    """pytorch/pytorch#51430: the weights' gradient repeated the groups in the wrong order, so that
    channels met outputs of others."""
    gradient = call.arrays["output"]
    shape = (*gradient.shape[:3], call.multiplier, call.channels)
    call.arrays["output"] = gradient.reshape(shape).swapaxes(3, 4)


@exhibit("forward")
def input_channel_of_the_output(call):
    """pytorch/pytorch#60460: the kernel for 3x3 filters took as many inputs as outputs for granted,
    so that output o read channel o."""
    if call.multiplier > 1 and call.rows.taps == call.columns.taps == 3:
        outputs = np.arange(call.channels * call.multiplier)
        read = call.arrays["input"][..., outputs % call.channels]
        kernel = call.arrays["filter"].reshape(3, 3, -1, 1)
        call.arrays = {"input": read, "filter": kernel}
        call.shapes["output"] = (*call.shapes["output"][:3], len(outputs), 1)


@exhibit("forward")
def first_output_only(call):
    """pytorch/pytorch#55794: of each channel's outputs, all but the first were never written."""
    sums = call.sums()
    sums[..., 1:] = np.nan
    return call.result(sums)


@exhibit("forward")
def one_channel_as_four(call):
    """tensorflow/tensorflow#30311: with one channel, the GPU delegate gave something else; here,
    four neighbouring pixels are taken for four channels of one."""
    if call.channels == 1:
        image = call.arrays["input"].copy()
        for pixel in (1, 2, 3):
            image[:, :, pixel::4] = 0
        call.arrays["input"] = image


@exhibit("forward")
def remainder_left_out(call):
    """bhuman/CompiledNN#16: channels beyond the last whole vector of 4 were not computed."""
    sums = call.sums()
    sums[:, :, :, call.channels // 4 * 4 :] = 0
    return call.result(sums)


@exhibit("forward")
def image_pointer_not_moved(call):
    """ucb-bar/gemmini-rocc-tests#21: the pointer to the image did not move on from channel to
    channel, so that all filters met the first."""
    call.arrays["input"] = np.repeat(call.arrays["input"][..., :1], call.channels, -1)


@exhibit("input_grad")
def weights_in_another_order(call):
    """Tencent/ncnn#300: the transposed convolution's weights were loaded in a wrong order; here,
    channels first."""
    kernel = call.arrays["filter"]
    channels_first = (call.channels, call.multiplier, *kernel.shape[:2])
    call.arrays["filter"] = kernel.reshape(channels_first).transpose(2, 3, 0, 1)


@exhibit("input_grad")
def gradient_of_one_channel(call):
    """gomlx/gomlx#132: the gradient had the shape [batch, height, width, 1], all channels in
    one."""
    return call.result(call.sums().sum(-1, keepdims=True))
