"""The beginning of a worker's program that loads its end of the channel, and not TensorFlow."""

from tf_dwbp.tools import process

PREAMBLE = f"""\
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("process", {process.__file__!r})
process = importlib.util.module_from_spec(spec)
spec.loader.exec_module(process)
channel = process.Channel(sys.argv[1])
send = channel.send
"""
