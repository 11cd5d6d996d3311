"""The program `tf-dwbp`. Each subcommand is a module that adds its own parser."""

import argparse
import sys

from tf_dwbp import info, run
from tf_dwbp.bench import command as bench
from tf_dwbp.conformance import command as conformance
from tf_dwbp.fuzz import command as fuzz
from tf_dwbp.train import command as train

_COMMANDS = (conformance, fuzz, bench, run, train, info)


def main(arguments: list[str] | None = None) -> int:
    """Runs a subcommand and returns the exit status; 130 when interrupted by Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="tf-dwbp",
        description="Depthwise convolution and its gradients for TensorFlow.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.register(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        return parsed.run(parsed)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
