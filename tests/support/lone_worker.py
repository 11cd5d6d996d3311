"""The beginning of a worker's program that loads its end of the channel, and not TensorFlow."""

import pathlib

_PACKAGE = pathlib.Path(__file__).absolute().parents[2] / "tf_dwbp"

# Under the package's name stands one that loads nothing of itself.
PREAMBLE = f"""\
import os, sys, time, types
sys.modules["tf_dwbp"] = types.ModuleType("tf_dwbp")
sys.modules["tf_dwbp"].__path__ = [{str(_PACKAGE)!r}]
from tf_dwbp.tools import process
channel = process.Channel(sys.argv[1])
send = channel.send
"""
