"""`tf-dwbp conformance`: the command line's view of the package."""

import argparse
import re
import sys

from tf_dwbp import console
from tf_dwbp.conformance import cases, export, runner, targets, terminal

_DESCRIPTION = """\
Computes every cell of a matrix of configurations with the op that is judged and with stock
TensorFlow's Eigen, oneDNN and XLA implementations, and compares each answer with a float64
reference. Exit status: 0 if every answer judged agrees, 1 if one does not, 2 on wrong usage."""


def register(subparsers) -> None:
    """Adds the subcommand to `tf-dwbp`."""
    parser = subparsers.add_parser(
        "conformance",
        help="prove the op right against a reference and stock TensorFlow",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "--target",
        type=_target,
        metavar="stock|MODULE:FUNCTION",
        help="judge stock TensorFlow or any function with the op's signature instead of our op",
    )
    for name, values in (
        ("dtype", cases.DTYPES),
        ("layout", cases.LAYOUTS),
        ("padding", cases.PADDINGS),
    ):
        parser.add_argument(
            f"--{name}", nargs="+", choices=list(values), default=[], help=f"only these {name}s"
        )
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the cells; every pair of values is met"
    )
    for suffix, what in (
        ("json", "every verdict with its evidence"),
        ("html", "a report to look at in a browser"),
        ("junit", "a JUnit report for CI systems"),
        ("markdown", "the table as Markdown"),
    ):
        parser.add_argument(
            f"--{suffix}", type=console.writable, metavar="FILE", help=f"write {what}"
        )
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    selected = cases.select(arguments.dtype, arguments.layout, arguments.padding, arguments.quick)
    try:
        with console.Progress("cells") as progress:
            run = runner.run(selected, arguments.target, progress.update)
    except runner.UnusableTarget as error:
        parser.error(f"cannot use {error}")
    terminal.show(run)
    for suffix, write in export.WRITERS.items():
        if path := getattr(arguments, suffix):
            write(run, path)
            print(f"wrote {path}", file=sys.stderr)
    return 1 if run.failing else 0


def _target(text):
    if text != targets.STOCK and not re.fullmatch(r"[\w.]+:[\w.]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither stock nor MODULE:FUNCTION")
    return text
