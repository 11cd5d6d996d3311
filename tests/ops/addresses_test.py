"""Tensors at any address, and without elements: the right results, and errors, never an abort.

TensorFlow's own accessors end the process at them, so each execution has a process of its own.
"""

import subprocess
import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized

_COMMON = """
import sys
import numpy as np, tensorflow as tf
from tf_dwbp import ops

def at(offset, values):
    raw = np.zeros(values.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    array = raw[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    array[...] = values
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())

ONES = [1, 1, 1, 1]
OPS = {
    "forward": lambda x, f, g, s: ops.depthwise_conv2d(x, f, ONES, "SAME"),
    "input_grad": lambda x, f, g, s: ops.depthwise_conv2d_backprop_input(s, f, g, ONES, "SAME"),
    "filter_grad": lambda x, f, g, s: ops.depthwise_conv2d_backprop_filter(x, s, g, ONES, "SAME"),
}

def executed(op):
    if sys.argv[1] == "eager":
        return op
    unknown = [tf.TensorSpec(None, dtype) for _ in range(3)] + [tf.TensorSpec(None, tf.int32)]
    signature = unknown if sys.argv[1] == "unknown shapes" else None
    return tf.function(op, jit_compile=sys.argv[1] == "jit", input_signature=signature)
"""

_RESULTS = """
random = np.random.default_rng(0)
for dtype in (np.float16, np.float32, np.float64):
    for name, op in OPS.items():
        call = executed(op)
        for batch in (2, 0):
            x, f, g = (random.integers(-3, 4, shape).astype(dtype)
                       for shape in ((batch, 9, 10, 20), (3, 3, 20, 2), (batch, 9, 10, 40)))
            s = np.array(f.shape if name == "filter_grad" else x.shape, np.int32)
            want = op(*map(tf.constant, (x, f, g, s))).numpy()
            for offset in map(int, sys.argv[2:]):
                got = call(*(at(offset, values) for values in (x, f, g, s))).numpy()
                assert (got == want).all(), (name, dtype, offset)
"""

_WRONG_SIZES = """
dtype = np.float32
x = tf.ones(ONES)
for name in ("input_grad", "filter_grad"):
    for shape in ((), (0,), (1,), (3,), (5,), (100000,), (2, 2), (1, 4)):
        try:
            executed(OPS[name])(x, x, x, at(4, np.ones(shape, np.int32)))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            (line,) = [line for line in str(error).splitlines() if "_sizes must" in line]
            assert len(line) < 500, error
        else:
            raise AssertionError(shape)
"""


def _run(program, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", _COMMON + program, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, f"status {result.returncode}: {result.stderr[-2000:]}"


class AddressesTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters("eager", "function", "unknown shapes")
    def test_results(self, execution):
        _run(_RESULTS, execution, 1, 2, 4, 8, 16, 36)

    @pytest.mark.xla
    def test_results_under_jit(self):
        # TensorFlow takes a tensor at an odd address for a pointer of XLA's, and aborts, before any
        # op is called.
        _run(_RESULTS, "jit", 2, 4, 8, 16, 36)

    @parameterized.parameters("eager", "function", "unknown shapes")
    def test_wrong_sizes(self, execution):
        _run(_WRONG_SIZES, execution)

    @pytest.mark.xla
    def test_wrong_sizes_under_jit(self):
        _run(_WRONG_SIZES, "jit")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
