"""Answers that are not the same in every call."""

import itertools

import numpy as np

from wrong.call import DETERMINISTIC, exhibit

_calls = itertools.count()  # so that what finds it is the same in every run


@exhibit("filter_grad", found=DETERMINISTIC)
def sums_in_any_order(call):
    """tensorflow/tensorflow#47174: on GPUs, the filter's gradient was summed by atomic additions,
    in an order of their own."""
    call.accumulator = np.dtype(np.float64 if call.dtype == np.float64 else np.float32)
    order = np.random.default_rng(next(_calls)).permutation(call.shapes["input"][0])
    sums = np.zeros(call.shapes["filter"], call.accumulator)
    images = dict(call.arrays)
    for image in order:
        call.arrays = {role: array[image : image + 1] for role, array in images.items()}
        sums += call.sums()
    return call.result(sums)
