"""`tf-dwbp run`: a training script on our ops, without a line of it changed."""

import argparse
import contextlib
import pathlib
import runpy
import sys

from tf_dwbp import _library, family
from tf_dwbp.tools import console

_DESCRIPTION = """\
Runs a Python script with our ops in the place of stock TensorFlow's, and tells at the end, on
standard error, which ran. The exit status is the script's; 2 if there is none to run."""


def configure(parser) -> None:
    """Gives the subcommand's parser its options."""
    parser.description = _DESCRIPTION
    parser.usage = (
        "tf-dwbp run [-h] [--ops OP[,OP]] [--batch-norm] (SCRIPT | -m MODULE) [ARGUMENT ...]"
    )
    parser.add_argument(
        "--ops",
        type=_ops,
        default=tuple(family.OPS),
        metavar="OP[,OP]",
        help=f"only these of {', '.join(family.OPS)}",
    )
    console.add_batch_norm(parser)
    parser.add_argument(
        "-m", dest="module", action="store_true", help="SCRIPT is a module's name, as for python -m"
    )
    parser.add_argument("script", metavar="SCRIPT", help="a file")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="the script's own"
    )
    parser.set_defaults(run=run, runs_a_script=True)


def _ops(text):
    ops = text.split(",")
    for op in ops:
        if op not in family.OPS:
            raise argparse.ArgumentTypeError(f"{op!r} is none of {', '.join(family.OPS)}")
    return tuple(ops)


def run(options) -> int:
    """Runs the script. What it raises is printed as Python does; SystemExit passes through."""
    if not options.module and not pathlib.Path(options.script).is_file():
        print(f"tf-dwbp run: there is no file {options.script}", file=sys.stderr)
        return 2
    if not options.module and (why := _unreadable(options.script)):
        print(f"tf-dwbp run: cannot read {options.script}: {why}", file=sys.stderr)
        return 2
    _library.load_or_exit()
    from tf_dwbp import swap

    sys.argv[:] = [options.script, *options.arguments]
    begun = True
    try:
        with swap.installed(options.ops, options.batch_norm):
            if options.module:
                sys.path.insert(0, "")
                runpy.run_module(options.script, run_name="__main__", alter_sys=True)
            else:
                sys.path.insert(0, str(pathlib.Path(options.script).resolve().parent))
                runpy.run_path(options.script, run_name="__main__")
    except Exception as error:
        own = _of_the_script(error.__traceback__)
        begun = own is not None or not isinstance(error, (ImportError, OSError, ValueError))
        if not begun:  # there is no such module, or the file cannot be read
            print(f"tf-dwbp run: cannot run {options.script}: {error}", file=sys.stderr)
            return 2
        sys.excepthook(type(error), error.with_traceback(own), own)
        return 1
    finally:
        if begun:
            with contextlib.suppress(AttributeError, ValueError):  # the script has closed it
                sys.stdout.flush()
            print(f"tf-dwbp run: {swap.report()}", file=sys.stderr)
    return 0


def _unreadable(script):
    """Why a file cannot be read, if so."""
    try:
        with open(script, "rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror


def _of_the_script(traceback):
    """The part of a traceback that begins in the script, None if it had not begun."""
    ours = (__file__, runpy.__file__)
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name not in ours and not name.startswith("<frozen "):
            break
        traceback = traceback.tb_next
    return traceback
