"""The command line that repeats a cell: the same call, on the same tensors, judged the same way."""

import argparse
import shlex

from tf_dwbp.conformance.results import DIFFERS, Cell, Run
from tf_dwbp.tools.targets import STOCK

# The options that decide what becomes of a cell, beside its own, the target and the executions: a
# new option of that kind is added here, and is in every line from then on.
KEPT = ("no_stock", "stock")


def options(arguments: argparse.Namespace) -> list[str]:
    """The words of the options that were given and have to be given again."""
    words = []
    for name in KEPT:
        value = getattr(arguments, name)
        if value is None or value is False or value == []:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return words


def line(run: Run, cell: Cell) -> str:
    """The command line that repeats a cell of a run."""
    words = ["tf-dwbp", "conformance", *run.placement.words_for(run.target)]
    words += [*run.options, *_executions(run, cell)]
    return f"{shlex.join(words)} {cell.case.options}"


def _executions(run, cell):
    """Those that fail; all, where bits are compared. Stock has implementations instead."""
    if run.target == STOCK and not run.placement.device:
        return []
    failing = {failure.path for failure in cell.failures}
    if not failing or any(failure.kind == DIFFERS for failure in cell.failures):
        failing = set(run.judged)
    return ["--execution", *(path.rpartition(" ")[2] for path in run.judged if path in failing)]
