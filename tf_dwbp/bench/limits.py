"""What the machine can do at best: copy bytes, and multiply and add."""

import concurrent.futures
import functools
import itertools
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Large enough to run at the machine's rate, small enough to take some milliseconds.
_MATMUL_SIZE = 1024
_MATMUL_SECONDS = 0.5
_COPY_SECONDS = 0.03


def prepare_copy(moved_bytes: int, threads: int, copies: int = 1) -> Callable[[], object]:
    """A function that copies so much that it reads and writes `moved_bytes` in all.

    Copies memory that is already there to memory that is already there, which is less than any op
    must do: an op allocates its result. One thread or all of them, whichever is faster here: to
    start a second thread costs more than a small copy. From and to other memory each time, if there
    are several copies.
    """
    sources = [np.ones(max(1, moved_bytes // 2), np.uint8) for _ in range(copies)]
    targets = [np.zeros_like(source) for source in sources]
    whole = itertools.cycle(zip(targets, sources, strict=True))

    def alone():
        np.copyto(*next(whole))

    ways = [alone]
    if threads > 1:
        pool = concurrent.futures.ThreadPoolExecutor(threads - 1)
        divided = itertools.cycle(
            [
                [*zip(np.array_split(to, threads), np.array_split(source, threads), strict=True)]
                for to, source in zip(targets, sources, strict=True)
            ]
        )

        def together():
            first, *rest = next(divided)
            pending = [pool.submit(np.copyto, *part) for part in rest]  # releases the GIL
            np.copyto(*first)
            for each in pending:
                each.result()

        ways.append(together)
    return min(ways, key=lambda way: _fastest(way, _COPY_SECONDS))


def matmul_rate(dtype: str) -> float:
    """Multiplications and additions a second of a large `tf.matmul`, the fastest of many.

    What it reaches of the arithmetic units' peak is what the best-tuned code there is reaches. In
    the type that sums are kept in: float32 for the 16-bit types.
    """
    accumulated = tf.float64 if dtype == "float64" else tf.float32
    matrix = tf.ones([_MATMUL_SIZE, _MATMUL_SIZE], accumulated)
    multiply = functools.partial(tf.raw_ops.MatMul, a=matrix, b=matrix)
    return 2 * _MATMUL_SIZE**3 / _fastest(multiply, _MATMUL_SECONDS)


def _fastest(function, seconds):
    """Seconds of the fastest of the calls that so much time allows."""
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end or fastest == float("inf"):
        function()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest
