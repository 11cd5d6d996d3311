"""The implementations that can be called: ours, stock TensorFlow's, and anybody's function."""

import importlib
import os
import sys

from tf_dwbp import family

OURS, STOCK = "ours", "stock"

# How a function can be called: as it stands, or from a program of several calls that TensorFlow
# runs, or that XLA compiles.
EAGER, FUNCTION, JIT = EXECUTIONS = ("eager", "function", "jit")


def load(target):
    """The functions behind a target's name, by op; each takes its op's arguments as keywords."""
    if target == STOCK:
        import tensorflow as tf

        return {op: getattr(tf.raw_ops, names.stock) for op, names in family.OPS.items()}
    if target == OURS:
        from tf_dwbp import ops

        return {op: getattr(ops, names.function) for op, names in family.OPS.items()}
    module_name, _, attribute = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    function = importlib.import_module(module_name)
    for name in attribute.split("."):
        function = getattr(function, name)
    if not callable(function):
        raise TypeError(f"{target} is not a function")
    return dict.fromkeys(family.OPS, function)  # its cases are of one op
