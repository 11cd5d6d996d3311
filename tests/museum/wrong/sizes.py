"""Sizes that were thought impossible, and memory that nobody wrote."""

import os

import numpy as np

from wrong.call import FUZZ, FUZZ_INVALID, Call, exhibit


@exhibit("forward")
def first_image_for_all(call):
    """pytorch/pytorch#188335: in float, on Apple's GPUs, results were wrong in all images but the
    first."""
    if call.dtype == np.float32:
        image = call.arrays["input"]
        call.arrays["input"] = np.repeat(image[:1], len(image), 0)


@exhibit("input_grad", found=FUZZ)
def sixteen_bits_of_batch(call):
    """pytorch/pytorch#96225: gradients were wrong for batches of 65536 and more; here, of 16, so
    that a test can afford it."""
    sums = call.sums()
    sums[16:] = sums[: max(0, len(sums) - 16)][: len(sums[16:])]
    return call.result(sums)


@exhibit("forward", found=FUZZ)
def index_overflows(call):
    """szagoruyko/pyinn#14: the index of an element was an int, which overflows in large images;
    here, it is one of 16 bits."""
    sums = call.sums()
    flat = sums.reshape(-1)
    flat[1 << 15 :] = 0
    return call.result(sums)


@exhibit("filter_grad")
def empty_left_unset(call):
    """tensorflow/tensorflow#126484: where out_backprop is empty, the filter's gradient was memory
    that nobody wrote."""
    if not call.arrays["output"].size:
        return call.result(np.full(call.shapes["filter"], 1e-30))


@exhibit("input_grad")
def empty_refused(call):
    """tensorflow/tensorflow#62433: where the filter does not fit, and the output is empty, the
    gradient was an error."""
    if not call.arrays["output"].size:
        raise ValueError("Computed output size is zero")


@exhibit("forward", found=FUZZ)
def square_filters_assumed(call):
    """Tencent/TNN#209: the packed filter had room for width x width taps; those beyond were other
    memory."""
    width = call.columns.taps
    call.arrays["filter"] = call.arrays["filter"].copy()
    call.arrays["filter"][width:] = 1


@exhibit("forward")
def first_slice_zeroed(call):
    """ARM-software/ComputeLibrary#343: only the first slice of what sums go to was set to zero;
    here, the first image's."""
    sums = call.sums()
    sums[1:] += 1
    return call.result(sums)


@exhibit("forward", fatal=True)
def dies_of_nine_channels(call):
    """microsoft/onnxruntime#14392: the process died where the channels did not fill the vectors
    of its layout."""
    if call.channels % 4:
        os.abort()


@exhibit("input_grad", found=FUZZ_INVALID, fatal=True)
def dies_of_short_strides(arguments):
    """tensorflow/tensorflow#104881: strides of length 2 ended the process."""
    if len(arguments["strides"]) != 4:
        os.abort()
    return Call("input_grad", **arguments).result()
