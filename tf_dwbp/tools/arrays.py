"""Functions that take and return NumPy arrays, which are judged without TensorFlow."""

import argparse
from collections.abc import Callable

import numpy as np

from tf_dwbp.tools import targets
from tf_dwbp.tools.problem import DTYPES, Problem

_OPTION = "--arrays"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--arrays` to a command that has `--target` and `--execution`."""
    parser.add_argument(
        _OPTION,
        choices=targets.ARRAYS,
        help="what MODULE:FUNCTION takes and returns: tensors, unless given, or NumPy arrays, "
        "bfloat16 as ml_dtypes.bfloat16; then nothing here loads TensorFlow",
    )


def of(arguments: argparse.Namespace) -> str:
    """What the function that is judged takes."""
    return arguments.arrays or targets.TENSORFLOW


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends the program where the options and the machine do not go together."""
    if of(arguments) == targets.NUMPY:
        if arguments.target in (None, targets.OURS, targets.STOCK):
            parser.error(f"{_OPTION} numpy is for --target MODULE:FUNCTION: all else takes tensors")
        for name in ("device", "load_library"):
            if getattr(arguments, name):
                option = name.replace("_", "-")
                parser.error(f"--{option} is TensorFlow's, which {_OPTION} numpy does without")
        if others := [name for name in arguments.execution if name != targets.EAGER]:
            parser.error(
                f"--execution {' '.join(others)} makes a program of TensorFlow's: with {_OPTION} "
                "numpy a function is called as it stands, eager"
            )
        if any(getattr(arguments, "order", ())):
            parser.error(
                f"--order: {_OPTION} numpy has no gradients, which TensorFlow takes of tensors: "
                "judge the gradient's own function, with --op"
            )
        if getattr(arguments, "stock", False) and arguments.no_stock:
            parser.error("--stock asks stock TensorFlow, and --no-stock leaves it out: give one")
    elif not targets.has_tensorflow():
        parser.exit(
            2,
            f"{parser.prog}: TensorFlow is not installed; without it, only functions of NumPy "
            f"arrays can be judged: --target MODULE:FUNCTION {_OPTION} numpy\n",
        )


def call(function: Callable, problem: Problem, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """What a function of arrays answers to a problem with the tensors of these roles.

    Where its result will likely lie, NaNs are left: elements never written show.
    """
    np.full(problem.shapes[problem.result], np.nan, DTYPES[problem.dtype])
    return np.asarray(function(**problem.arguments(tensors)))
