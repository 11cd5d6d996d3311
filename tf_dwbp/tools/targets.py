"""The implementations that can be called: ours, stock TensorFlow's, and anybody's function."""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import os
import re
import sys
import types

from tf_dwbp import family
from tf_dwbp.tools import stock_fused

OURS, STOCK = "ours", "stock"

# How a function can be called: as it stands, or from a program of several calls that TensorFlow
# runs, or that XLA compiles.
EAGER, FUNCTION, JIT = EXECUTIONS = ("eager", "function", "jit")

# What a function takes and returns: tensors, or arrays, for which nobody needs TensorFlow. Numbers
# of type bfloat16 are ml_dtypes.bfloat16 in arrays.
TENSORFLOW, NUMPY = ARRAYS = ("tensorflow", "numpy")


def argument(text: str) -> str:
    """The name of a target, for `argparse`."""
    if text not in (OURS, STOCK) and not re.fullmatch(r"[\w.]+:[\w.]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither ours, stock nor MODULE:FUNCTION")
    return text


def load(target):
    """The functions behind a target's name, by op; each takes its op's arguments as keywords."""
    if target == STOCK:
        import tensorflow as tf

        functions = {op: getattr(tf.raw_ops, names.stock) for op, names in family.OPS.items()}
        return functions | {"forward": _with_epilogues(functions["forward"], stock_fused.call)}
    if target == OURS:
        from tf_dwbp import ops

        functions = {op: getattr(ops, names.function) for op, names in family.OPS.items()}
        fused = getattr(ops, family.FUSED_FUNCTION)
        return functions | {"forward": _with_epilogues(functions["forward"], fused)}
    module_name, _, attribute = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    function = importlib.import_module(module_name)
    for name in attribute.split("."):
        function = getattr(function, name)
    if not callable(function):
        raise TypeError(f"{target} is not a function")
    return dict.fromkeys(family.OPS, function)  # its cases are of one op


def _with_epilogues(plain, fused):
    """A forward op, or the one with an epilogue if there is one among the arguments."""

    @functools.wraps(plain)
    def forward(*tensors, **arguments):
        return (fused if "activation" in arguments else plain)(*tensors, **arguments)

    return forward


def versions(target: str) -> dict[str, str]:
    """The versions of the packages whose modules the loaded module of a target imports by name."""
    from importlib import metadata

    module = sys.modules.get(target.partition(":")[0])
    values = vars(module).values() if isinstance(module, types.ModuleType) else ()
    modules = [value for value in values if isinstance(value, types.ModuleType)]
    found = {}
    for package in sorted({module.__name__.partition(".")[0] for module in modules}):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed, found out without loading it."""
    return importlib.util.find_spec("tensorflow") is not None
