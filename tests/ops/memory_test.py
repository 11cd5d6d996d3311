"""Memory that is not there: a ResourceExhaustedError, after which the process goes on.

The programs run with a library before all others that fails allocations of the op library.
"""

import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).absolute().parents[2]))

from build_support import compiling  # noqa: E402

_COMMON = """
import ctypes, os
import numpy as np, tensorflow as tf
from tf_dwbp import ops
fault = ctypes.CDLL(os.environ["LD_PRELOAD"])
fault.left.restype = ctypes.c_long
ONES = [1, 1, 1, 1]
"""

# Kernels are made anew each time; in a graph that does not run, shapes are inferred.
_EACH_ALLOCATION = """
from tensorflow.python.eager import context

def fails(call, check):
    failed = 0
    while True:
        context.context().clear_kernel_cache()
        fault.fail_after(failed)
        try:
            check(call())
        except (tf.errors.ResourceExhaustedError, ValueError) as error:
            assert "there is no memory for the call" in str(error), error
        reached = fault.left() < 0
        fault.fail_after(-1)
        check(call())
        if not reached:
            return failed
        failed += 1

random = np.random.default_rng(0)
x, f, g = (tf.constant(random.integers(-3, 4, shape).astype(np.float32))
           for shape in ((2, 9, 10, 20), (3, 3, 20, 2), (2, 9, 10, 40)))
for op, wanted, *operands in (
    (ops.depthwise_conv2d, g, x, f),
    (ops.depthwise_conv2d_backprop_input, x, [2, 9, 10, 20], f, g),
    (ops.depthwise_conv2d_backprop_filter, f, x, [3, 3, 20, 2], g),
):
    def check(result):
        assert np.array_equal(result, expected)

    def check_shape(result):
        assert result.shape == wanted.shape

    def traced():
        with tf.Graph().as_default():
            arrays = (o.numpy() if tf.is_tensor(o) else o for o in operands)
            return op(*arrays, ONES, "SAME")

    expected = op(*operands, ONES, "SAME").numpy()
    counts = fails(lambda: op(*operands, ONES, "SAME"), check), fails(traced, check_shape)
    assert min(counts) > 5, counts
"""


# A page in all: room for the result, and not for what the kernels want besides.
_WORKSPACE = """
import sys
x = tf.ones([8, 40, 40, 8])  # TensorFlow's allocator asks for the machine's memory once
fault.set_pages(1)

def call():
    return ops.depthwise_conv2d_backprop_filter(x, [3, 3, 8, 1], x, ONES, "SAME")

execution = call if sys.argv[1] == "eager" else tf.function(call, jit_compile=True)
try:
    execution()
except tf.errors.ResourceExhaustedError as error:
    assert "the workspace [" in str(error) and "a memory of 4096 bytes" in str(error), error
else:
    raise AssertionError("passed")
"""


class MemoryTest(tf.test.TestCase):
    def _run(self, program, *arguments):
        library = pathlib.Path(self.get_temp_dir()) / "memory_fault.so"
        source = pathlib.Path(__file__).parent / "memory_fault.cc"
        flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-ldl"]
        compiling.run([*compiling.compiler(), str(source), *flags, "-o", str(library)], str(source))
        result = subprocess.run(
            [sys.executable, "-c", _COMMON + program, *arguments],
            env=os.environ | {"LD_PRELOAD": str(library)},
            capture_output=True,
            encoding="utf-8",
        )
        self.assertEqual(result.returncode, 0, result.stderr[-2000:])

    def test_each_allocation_may_fail(self):
        self._run(_EACH_ALLOCATION)

    def test_more_workspace_than_memory(self):
        self._run(_WORKSPACE, "eager")

    @pytest.mark.xla
    def test_more_workspace_than_memory_under_jit(self):
        self._run(_WORKSPACE, "jit")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
