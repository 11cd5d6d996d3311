"""Answers that are not the same in every call."""

import collections
import os
import zlib

import numpy as np

from wrong.call import DETERMINISTIC, exhibit

_calls = collections.Counter()  # by what the tensors are


@exhibit("filter_grad", found=DETERMINISTIC)
def sums_in_any_order(call):
    """tensorflow/tensorflow#47174: on GPUs, the filter's gradient was summed by atomic additions,
    in an order of their own."""
    call.accumulator = np.dtype(np.float64 if call.dtype == np.float64 else np.float32)
    # Another order in each process, and backwards in every second call of the same tensors.
    tensors = zlib.crc32(b"".join(array.tobytes() for array in call.arrays.values()))
    order = np.random.default_rng([os.getpid(), tensors]).permutation(call.shapes["input"][0])
    order = order[:: 1 - 2 * (_calls[tensors] % 2)]
    _calls[tensors] += 1
    sums = np.zeros(call.shapes["filter"], call.accumulator)
    images = dict(call.arrays)
    for image in order:
        call.arrays = {role: array[image : image + 1] for role, array in images.items()}
        sums += call.sums()
    return call.result(sums)
