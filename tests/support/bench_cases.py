"""What the tests of the benchmark measure and report."""

import dataclasses
import importlib.util

import numpy as np

from tf_dwbp.bench.call import DTYPES
from tf_dwbp.bench.results import Plan
from tf_dwbp.bench.shapes import Shape
from tf_dwbp.tools import epilogue, reference

PLAIN = Shape("plain", 2, 6, 7, 5, 3)
STRIDED = Shape("strided", 2, 6, 7, 5, 3, 2)  # SAME pads an even size unevenly
DILATED = Shape("dilated", 2, 7, 8, 5, 3, dilation=2)
MULTIPLIER = Shape("multiplier", 1, 6, 6, 3, 5, 2, depth_multiplier=2)

PLAN = Plan(peer="onednn", dtype="float32", layout="NHWC", threads=2, rounds=3)
MACHINE = {
    "cpu": "a processor",
    "threads": 2,
    "tensorflow": "2",
    "onednn": "1",
    "forced_cpu_isa": None,
}


def skip_without(test, module):
    """Skips a test where a module is not installed."""
    if not importlib.util.find_spec(module):
        test.skipTest(f"{module} is not installed")


_TOLERANCES = {"float64": 1e-13, "float32": 1e-5, "float16": 4e-2, "bfloat16": 3e-1}


def reference_of(call):
    """What each step must compute."""
    tensors = {role: array.astype(np.float64) for role, array in call.tensors().items()}
    sizes = {"input": call.input_sizes, "filter": call.filter_shape}
    if finish := call.problem.epilogue:
        plain = dataclasses.replace(call.problem, epilogue=epilogue.Epilogue())
        sums = reference.forward(**plain.arguments(tensors))
        return [epilogue.apply(finish, sums, tensors.get("bias"), call.layout)]
    return [getattr(reference, step)(**call.arguments(step, tensors, sizes)) for step in call.steps]


def assert_right(contender, call):
    """Asserts that its answer is the reference's: what is compared is one task."""
    answers = contender.to_arrays(contender.run())
    for answer, expected in zip(answers, reference_of(call), strict=True):
        assert answer.dtype == DTYPES[call.dtype]
        np.testing.assert_allclose(
            answer.astype(np.float64), expected, rtol=0, atol=_TOLERANCES[call.dtype]
        )
