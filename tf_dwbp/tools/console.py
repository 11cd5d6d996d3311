"""What the subcommands share: progress, files to read and write, and exceptions in one line."""

import argparse
import contextlib
import functools
import pathlib
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tf_dwbp.tools import files

if TYPE_CHECKING:  # rich comes with an extra, and workers and usage errors do not need it
    import rich.console

_REPORTS = 10  # in a log, where a bar cannot move
_LONGEST_LINE = 1000  # characters: some messages print a tensor


class Progress:
    """A bar on standard error; where that is not a terminal, a line now and then."""

    def __init__(self, unit: str):
        import rich.progress

        self._unit = unit
        self._console = terminal(stderr=True)
        self._bar = rich.progress.Progress(
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn(f"{unit}  {{task.description:<13}}"),
            rich.progress.TimeRemainingColumn(compact=True),
            rich.progress.TextColumn("left"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = None
        self._reported = 0

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *exception):
        self._bar.stop()

    def update(self, what: str, done: int, total: int) -> None:
        """Shows what is being dealt with, and how many units are complete."""
        if self._console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("", total=total)
            self._bar.update(self._task, completed=done, description=what)
        elif done * _REPORTS // total > self._reported:
            self._reported = done * _REPORTS // total
            with contextlib.suppress(OSError):  # a log that is full or closed
                self._console.print(f"{done:,} of {total:,} {self._unit}")


def add_batch_norm(parser) -> None:
    """Adds the option of the commands that swap ops in."""
    parser.add_argument(
        "--batch-norm",
        action="store_true",
        help="swapped in, have BatchNormalization computed by TensorFlow's fused op, too",
    )


def count(text: str, least: int = 1) -> int:
    """A whole number, for `argparse`."""
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def writable(text: str) -> pathlib.Path:
    """A file that can be written, found out before the minutes that the run takes."""
    try:
        files.check_writable(text)
    except (OSError, ValueError) as error:  # ValueError: a null character
        why = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"cannot write {text or repr(text)}: {why}") from None
    return pathlib.Path(text)


def readable(text: str, read: Callable[[str], object]) -> object:
    """What `read` makes of a file that a command is given, for `argparse`.

    It raises OSError, or ValueError with what to say of a file that holds something else.
    """
    try:
        return read(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def write_files(
    writers: Iterable[tuple[pathlib.Path | None, Callable[[pathlib.Path], None]]],
) -> bool:
    """Has every file written that can be, and says which was not; returns whether all were.

    Args:
      writers: paths, None where no file is wanted, with functions that write to the path given.
    """
    complete = True
    for path, write in writers:
        if path is None:
            continue
        try:
            write(path)
            print(f"wrote {path}", file=sys.stderr)
        except OSError as error:
            complete = False
            print(f"tf-dwbp: cannot write {path}: {error.strerror or error}", file=sys.stderr)
    return complete


def complaint(program: str, message: str) -> str:
    """A message that ends a program, in one line, which no usage goes before."""
    return f"{program}: {' | '.join(message.splitlines())}\n"


def terminal(**options) -> "rich.console.Console":
    """Standard output, or standard error with `stderr=True`."""
    return _console()(highlight=False, **options)


@functools.cache
def _console():
    import rich.console

    class Console(rich.console.Console):
        def on_broken_pipe(self):
            raise  # the BrokenPipeError, which the program deals with; rich would exit with 1

    return Console


def one_line(error: BaseException) -> str:
    """An exception in one line, without TensorFlow's notes on where in the graph it arose."""
    try:
        text = str(error)
    except BaseException:  # an exception of somebody's class
        text = "without a text, since making it fails"
    message = text.partition("\n\nStack trace")[0].partition("\n\t [[")[0]
    message = re.sub(r"\{\{\w+ [^}]*\}\} ?", "", message)
    message = " ".join(re.sub(r" \[Op:\w+\].*", "", message).split())
    if len(message) > _LONGEST_LINE:
        message = f"{message[:_LONGEST_LINE]} ..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
