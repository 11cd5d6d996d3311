"""`tf-dwbp run`: a training script on our ops, without a line of it changed."""

import argparse
import pathlib
import runpy
import sys

from tf_dwbp import family

_DESCRIPTION = """\
Runs a Python script with our ops in the place of stock TensorFlow's, and tells at the end, on
standard error, which ran. The exit status is the script's."""


def register(subparsers) -> None:
    """Adds the subcommand to `tf-dwbp`."""
    parser = subparsers.add_parser(
        "run",
        help="run a script with our ops in stock's place",
        description=_DESCRIPTION,
        usage="tf-dwbp run [-h] [--ops OP[,OP]] (SCRIPT | -m MODULE) [ARGUMENT ...]",
    )
    parser.add_argument(
        "--ops",
        type=_ops,
        default=tuple(family.OPS),
        metavar="OP[,OP]",
        help=f"only these of {', '.join(family.OPS)}",
    )
    parser.add_argument(
        "-m", dest="module", action="store_true", help="SCRIPT is a module's name, as for python -m"
    )
    parser.add_argument("script", metavar="SCRIPT", help="a file")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="the script's own"
    )
    parser.set_defaults(run=run)


def _ops(text):
    ops = text.split(",")
    for op in ops:
        if op not in family.OPS:
            raise argparse.ArgumentTypeError(f"{op!r} is none of {', '.join(family.OPS)}")
    return tuple(ops)


def run(options) -> int:
    """Runs the script; its exceptions, SystemExit among them, pass through."""
    if not options.module and not pathlib.Path(options.script).is_file():
        print(f"tf-dwbp run: there is no file {options.script}", file=sys.stderr)
        return 2
    from tf_dwbp import swap

    sys.argv[:] = [options.script, *options.arguments]
    try:
        with swap.installed(options.ops):
            if options.module:
                sys.path.insert(0, "")
                runpy.run_module(options.script, run_name="__main__", alter_sys=True)
            else:
                sys.path.insert(0, str(pathlib.Path(options.script).resolve().parent))
                runpy.run_path(options.script, run_name="__main__")
    finally:
        sys.stdout.flush()
        print(f"tf-dwbp run: {swap.report()}", file=sys.stderr)
    return 0
