"""A framework in a process of its own: NumPy by the reference, and a death."""

import os
import sys
import time
import types

import numpy as np

from tf_dwbp.bench import framework_worker
from tf_dwbp.bench.contender import Contender
from tf_dwbp.bench.frameworks import FRAMEWORKS
from tf_dwbp.bench.frameworks.convolution import Convolution
from tf_dwbp.tools import process, reference

SECONDS = 0.02  # that each call takes at least
FATAL_CHANNELS = 13


def _prepare(layout):
    def prepare(call, threads):
        assert threads == 2
        found = Convolution.of(call, layout)
        if found.filter.shape[2] == FATAL_CHANNELS:
            os.abort()
        assert "tensorflow" not in sys.modules
        swap = (lambda four: four) if layout == call.layout else _swap(layout)
        attributes = dict(call.problem.attributes)
        attributes["data_format"] = layout
        for name in ("strides", "dilations"):
            attributes[name] = swap(attributes[name])
        made = []

        def run():
            time.sleep(SECONDS)
            made[:] = [reference.forward(found.input, found.filter, **attributes)]
            return []

        return Contender(run, lambda _: [found.to_call(np.asarray(made[0]))])

    return prepare


def _swap(layout):
    order = (0, 2, 3, 1) if layout == "NHWC" else (0, 3, 1, 2)
    return lambda four: [four[i] for i in order]


def main():
    """What a worker of the benchmark does, with these frameworks."""
    for layout in ("NHWC", "NCHW"):
        FRAMEWORKS[layout] = types.SimpleNamespace(prepare=_prepare(layout))
    framework_worker.main(process.Channel(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
