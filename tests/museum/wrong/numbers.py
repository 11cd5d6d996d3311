"""Types, sums that lose what they should keep, and numbers that are no one's."""

import numpy as np

from wrong.call import FUZZ, exhibit


@exhibit("forward")
def sums_in_half(call):
    """tensorflow/tensorflow#27213: sums of half were kept in half, not in float."""
    call.accumulator = call.dtype


@exhibit("forward")
def last_product_only(call):
    """pytorch/pytorch#163347: a 2x2 filter of ones over ones gave 1, not 4, in bfloat16."""
    if call.dtype.name == "bfloat16":
        call.arrays["filter"] = call.arrays["filter"].copy()
        call.arrays["filter"][:-1] = 0
        call.arrays["filter"][:, :-1] = 0


@exhibit("forward")
def shared_memory_not_filled(call):
    """tensorflow/tensorflow#24430: in half, there were NaNs that came and went; here, there is one,
    at an image's end."""
    sums = call.sums()
    if call.dtype == np.float16 and sums.size:
        sums[0, -1, -1, 0] = np.nan
    return call.result(sums)


@exhibit("filter_grad", found=FUZZ)
def not_homogeneous(call):
    """tensorflow/tensorflow#107706: a gradient twice as large did not lead to a filter's gradient
    twice as large; here, results are rounded to a fixed grid, within any bound."""
    if call.dtype == np.float32:
        return call.result(np.round(call.sums() * 2.0**21) / 2.0**21)
