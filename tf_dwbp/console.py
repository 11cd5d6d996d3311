"""What the subcommands share: progress, files to write, Ctrl-C, and exceptions in one line."""

import argparse
import contextlib
import pathlib
import re
import signal
import threading

import rich.console
import rich.progress

_REPORTS = 10  # in a log, where a bar cannot move


class Progress:
    """A bar on standard error; where that is not a terminal, a line now and then."""

    def __init__(self, unit: str):
        self._unit = unit
        self._console = rich.console.Console(stderr=True)
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
            self._console.print(f"{done:,} of {total:,} {self._unit}", highlight=False)


def count(text: str, least: int = 1) -> int:
    """A whole number, for `argparse`."""
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def writable(text: str) -> pathlib.Path:
    """A file that can be written, found out before the minutes that the run takes."""
    path = pathlib.Path(text)
    existed = path.exists()
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {path}: {error.strerror}") from None
    if not existed:
        path.unlink()
    return path


@contextlib.contextmanager
def interrupts_held():
    """Ctrl-C inside the block is raised at its end: a process is started, and known, or neither."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which no interrupt reaches
        return
    held = []
    handler = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        raise KeyboardInterrupt


def one_line(error: Exception) -> str:
    """An exception in one line, without TensorFlow's notes on where in the graph it arose."""
    message = str(error).partition("\n\nStack trace")[0].partition("\n\t [[")[0]
    message = re.sub(r"\{\{\w+ [^}]*\}\} ?", "", message)
    message = re.sub(r" \[Op:\w+\].*", "", message)
    return f"{type(error).__name__}: {' '.join(message.split())}"
