"""`tf-dwbp bench`: the command line's view of the package."""

import argparse
import importlib.util
import json
import os
import pathlib
import sys

from tf_dwbp import console
from tf_dwbp.bench import call, peers, plot, report, runner, shapes
from tf_dwbp.bench.results import OURS, Plan, Run
from tf_dwbp.conformance import targets

_DESCRIPTION = """\
Times an op beside another implementation and beside a copy of the same bytes: whole calls, overhead
included, the sides alternated in short blocks in one process. Before a shape is timed, both sides'
answers are compared. Exit status: 0, 1 if ours failed, 2 on wrong usage."""

_EPILOG = """\
Peers: onednn, eigen: stock TensorFlow with its oneDNN switch on or off, for both sides. xla: stock
TensorFlow's ops compiled by XLA. torch: PyTorch (pip install torch), channels_last for NHWC.
copy: memory. dilated: tf.nn.depthwise_conv2d with dilations, or its gradient, which go through
SpaceToBatch. ours-eager, ours-function, ours-jit: our ops, called in that way whatever --execution
says. The op backward is input_grad and filter_grad, one after the other."""


def register(subparsers) -> None:
    """Adds the subcommand to `tf-dwbp`."""
    parser = subparsers.add_parser(
        "bench",
        help="time an op beside stock TensorFlow, PyTorch and the machine's limits",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    for name, values in (
        ("op", list(call.OPS)),
        ("dtype", list(call.DTYPES)),
        ("layout", call.LAYOUTS),
        ("peer", [*peers.PEERS, peers.COPY]),
    ):
        parser.add_argument(
            f"--{name}", choices=values, default=values[0], help="default: %(default)s"
        )
    parser.add_argument(
        "--execution",
        choices=targets.EXECUTIONS,
        default=targets.EAGER,
        help="how ours is called: eagerly, from a tf.function or from one that XLA compiles; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        default=[],
        metavar="SUBSTRING",
        help="only shapes whose names contain all of these",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--group", choices=shapes.GROUPS, help="only the shapes of this group")
    group.add_argument(
        "--quick",
        action="store_const",
        const=shapes.QUICK,
        dest="group",
        help="a few shapes of all kinds; the same as --group quick",
    )
    parser.add_argument(
        "--threads",
        type=_count,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="for both sides and the copy; default: every core (%(default)s)",
    )
    parser.add_argument(
        "--rounds", type=_count, default=11, metavar="N", help="blocks of each side; default: 11"
    )
    parser.add_argument(
        "--load", type=_saved, metavar="FILE", help="show what --json wrote; measure nothing"
    )
    parser.add_argument(
        "--json", type=console.writable, metavar="FILE", help="write every block's time"
    )
    parser.add_argument(
        "--plot",
        type=_plottable,
        metavar="FILE",
        help="draw time against bytes (pip install matplotlib); the file's ending says the format",
    )
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _run(parser, arguments):
    run = arguments.load or _measure(parser, arguments)
    report.show(run)
    for path, write in ((arguments.json, run.save), (arguments.plot, lambda p: plot.draw(run, p))):
        if path:
            write(path)
            print(f"wrote {path}", file=sys.stderr)
    return 1 if any(OURS in row.refusals for row in run.rows) else 0


def _measure(parser, arguments):
    if reason := peers.missing(arguments.peer, arguments.execution):
        with_jit = " with --execution jit" if arguments.execution == targets.JIT else ""
        parser.error(f"cannot use --peer {arguments.peer}{with_jit}: {reason}")
    selected = shapes.select(arguments.shapes, arguments.group)
    if not selected:
        models = ", ".join(dict.fromkeys(shape.model for shape in shapes.SHAPES))
        parser.error(
            f"no shape{f' of the group {arguments.group}' if arguments.group else ''} has a name "
            f"with --shapes {' '.join(arguments.shapes)}; names look like "
            f"{shapes.SHAPES[0].name}, and the models are {models}"
        )
    if arguments.peer in peers.PEERS and peers.PEERS[arguments.peer].only_dilated:
        dilated = [shape for shape in selected if shape.dilation > 1]
        if not dilated:
            parser.error(f"--peer {arguments.peer} is for dilated shapes; none is selected")
        left_out = len(selected) - len(dilated)
        print(f"{left_out} shapes without dilation are left out", file=sys.stderr)
        selected = dilated
    names = ("peer", "dtype", "layout", "threads", "rounds", "op", "execution")
    plan = Plan(**{name: getattr(arguments, name) for name in names})
    try:
        with console.Progress("shapes") as progress:
            return runner.run(plan, selected, progress.update)
    except runner.Failed as error:
        parser.exit(1, f"{parser.prog}: the process that measures ended: {error}\n")


def _count(text):
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _saved(text):
    try:
        return Run.from_json(json.loads(pathlib.Path(text).read_text()))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise argparse.ArgumentTypeError(f"{text} is not what --json writes") from None


def _plottable(text):
    if not importlib.util.find_spec("matplotlib"):
        raise argparse.ArgumentTypeError("matplotlib is not installed: pip install matplotlib")
    path = pathlib.Path(text)
    if path.suffix.lower() not in plot.SUFFIXES:
        choices = ", ".join(plot.SUFFIXES)
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of {choices}")
    return console.writable(text)
