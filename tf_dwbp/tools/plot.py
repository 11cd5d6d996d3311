"""What all pictures of the project have in common. Matplotlib is imported when one is drawn."""

import argparse
import importlib.util
import io
import pathlib

from tf_dwbp.tools import console, files

SUFFIXES = (".png", ".svg", ".pdf")

INCHES = (10.667, 6.667)
DOTS_PER_INCH = 150  # 1600 x 1000 pixels

# Okabe and Ito's colours, which all eyes can tell apart.
BLUE, ORANGE = "#0072B2", "#D55E00"
INK, FAINT, PAPER = "#333333", "#BBBBBB", "#FFFFFF"


def plottable(text: str) -> pathlib.Path:
    """A file that a picture can be written to, for `argparse`."""
    if not importlib.util.find_spec("matplotlib"):
        raise argparse.ArgumentTypeError("matplotlib is not installed: pip install matplotlib")
    path = pathlib.Path(text)
    if path.suffix.lower() not in SUFFIXES:
        choices = ", ".join(SUFFIXES)
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of {choices}")
    return console.writable(text)


def save(figure, path: pathlib.Path) -> None:
    """Writes a picture in the format that the path's ending names."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DOTS_PER_INCH, format=path.suffix[1:])
    files.write(path, drawn.getvalue())


def style():
    """A context in which matplotlib draws the project's pictures."""
    import matplotlib

    return matplotlib.rc_context(
        {
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "font.size": 11,
            "legend.fontsize": 10,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
