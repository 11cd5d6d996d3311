"""The files of commands that measure: what was saved, and is to be, and pictures of it."""

import functools
import json
from collections.abc import Callable

from tf_dwbp.tools import console, files, plot


def add_options(parser, from_json: Callable[[dict], object], saved: str, drawn: str) -> None:
    """Adds --load, --json and --plot.

    Args:
      parser: an `argparse` parser.
      from_json: makes a run of what --json wrote; raises a LookupError, TypeError, ValueError
        or AttributeError if it is not that.
      saved: what is written, for the help.
      drawn: what is drawn.
    """

    def read(text):
        try:
            return from_json(json.loads(files.read_text(text)))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError(f"{text} is not what --json writes") from None

    load = functools.partial(console.readable, read=read)
    for name, type_, text in (
        ("load", load, "show what --json wrote; measure nothing"),
        ("json", console.writable, f"write {saved}"),
        (
            "plot",
            plot.plottable,
            f"draw {drawn} (pip install matplotlib); the file's ending says the format",
        ),
    ):
        parser.add_argument(f"--{name}", type=type_, metavar="FILE", help=text)


def write(arguments, save: Callable, draw: Callable) -> bool:
    """Writes the files that were asked for; each function gets a path. False if one could not."""
    return console.write_files([(arguments.json, save), (arguments.plot, draw)])
