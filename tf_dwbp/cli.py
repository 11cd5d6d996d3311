"""The program `tf-dwbp`. Each subcommand is a module, imported for that command alone.

Here, for all commands, ends what they cannot deal with: in one line and an exit status.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import os
import pathlib
import signal
import sys
import traceback
from typing import NamedTuple

from tf_dwbp.tools import descendants


class _Command(NamedTuple):
    module: str  # has configure(parser)
    help: str
    needs_extra: bool = False  # EXTRA_MODULES


_COMMANDS = {
    "conformance": _Command(
        "tf_dwbp.conformance.command",
        "prove the ops right against a reference and stock TensorFlow",
        needs_extra=True,
    ),
    "diff": _Command("tf_dwbp.conformance.diff", "compare two conformance runs", needs_extra=True),
    "fuzz": _Command(
        "tf_dwbp.fuzz.command", "call the ops at random, at real sizes", needs_extra=True
    ),
    "bench": _Command(
        "tf_dwbp.bench.command",
        "time an op beside stock TensorFlow, PyTorch and the machine's limits",
        needs_extra=True,
    ),
    "run": _Command("tf_dwbp.run", "run a script with our ops in stock's place"),
    "train": _Command(
        "tf_dwbp.train.command",
        "train a real model, by our ops or stock's, or compare the two",
        needs_extra=True,
    ),
    "explain": _Command("tf_dwbp.explain", "tell which implementation computes a problem, and why"),
    "info": _Command(
        "tf_dwbp.info", "tell what the package was built with, and whether it works here"
    ),
}

# What the extra [cli] brings: the ops go without.
EXTRA_MODULES = ("jinja2", "ml_dtypes", "rich")

# 1 is a verdict: what was judged has failed. Everything else that goes wrong is the user's or the
# machine's, or ours.
_FAILED = 2
_PACKAGE = pathlib.Path(__file__).absolute().parent


def main(arguments: list[str] | None = None) -> int:
    """Runs a subcommand and returns the exit status.

    0: fine; 1: a verdict against what was judged; 2: wrong usage, or the machine did not let the
    command do its work; 128 and a signal's number when it was interrupted, 130 by Ctrl-C.
    """
    _open_standard_streams()
    try:
        try:
            return _run(arguments)
        finally:
            _flush()
    except KeyboardInterrupt:
        return _say("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        return _say("tf-dwbp: standard output was closed before everything was written")
    except ModuleNotFoundError as error:
        return _say(f"tf-dwbp: {error}: install what has it with pip")
    except ImportError as error:
        return _say(f"tf-dwbp: {' '.join(str(error).split()) or _line(error)}")
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        return _say(f"tf-dwbp: {what}")
    except MemoryError:
        return _say("tf-dwbp: not enough memory")
    except Exception as error:
        return _say(f"tf-dwbp: {_line(error)} ({_place(error)})")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line. The usage of some commands would fill a screen."""

    def error(self, message):
        self.exit(_FAILED, f"{self.prog}: {message} (usage: {self.prog} --help)\n")


def _run(arguments):
    parser = _Parser(
        prog="tf-dwbp",
        description="Depthwise convolution and its gradients for TensorFlow.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    arguments = sys.argv[1:] if arguments is None else arguments
    named = next((text for text in arguments if not text.startswith("-")), None)
    for name, command in _COMMANDS.items():
        own = subparsers.add_parser(name, help=command.help)
        if name == named:
            if command.needs_extra:
                _check_extra(own)
            importlib.import_module(command.module).configure(own)
    parsed = parser.parse_args(arguments)
    if getattr(parsed, "runs_a_script", False):  # which finds everything as Python has it
        return parsed.run(parsed)
    if isinstance(sys.stdout, io.TextIOWrapper):  # the terminal's encoding may lack a character
        sys.stdout.reconfigure(errors="backslashreplace")
    with _terminated_by_exception(), descendants.orphans_ended():
        return parsed.run(parsed)


def _check_extra(parser):
    """Ends the program where what a command takes beside the ops is not installed."""
    missing = [name for name in EXTRA_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        parser.exit(
            _FAILED,
            f"{parser.prog}: not installed: {', '.join(missing)}; pip install 'tf-dwbp[cli]', or "
            f"{' '.join(missing)}\n",
        )


def _flush():
    """Flushes standard output here, where it can still be said that this fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left is lost, and Python must not try again at the end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "standard output") from None
    except ValueError:  # a script has closed it
        pass


def _open_standard_streams():
    """Opens those of the three that are closed, to nothing: else files would get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


@contextlib.contextmanager
def _terminated_by_exception():
    """SIGTERM and SIGHUP end the program as Ctrl-C does, so that it can end what it started."""

    def end(number, _):
        raise SystemExit(128 + number)

    handlers = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not in the main thread
            if signal.getsignal(number) is signal.SIG_DFL:  # and not ignored, as by nohup
                handlers[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _say(text, status=_FAILED):
    with contextlib.suppress(OSError, ValueError):  # standard error may be full or closed as well
        print(text, file=sys.stderr)
    return status


def _line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _place(error):
    """Where in the package an exception that nobody expected arose, for the report of it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if pathlib.Path(frame.filename).is_relative_to(_PACKAGE)]
    frame = (ours or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"
