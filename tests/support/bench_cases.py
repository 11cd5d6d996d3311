"""What the tests of the benchmark measure and report."""

import importlib.util

from tf_dwbp.bench.results import Plan
from tf_dwbp.bench.shapes import Shape

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
