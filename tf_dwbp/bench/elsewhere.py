"""A framework's calls, made and timed in a process of its own: the end that waits for it."""

import atexit
import functools
import json
import pathlib
import tempfile

import numpy as np

from tf_dwbp.bench import shapes
from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Contender, Refused
from tf_dwbp.tools import process

_WORKER_MODULE = "tf_dwbp.bench.framework_worker"
_LIMIT_SECONDS = 240  # for a block of calls, or to load the framework and prepare a call


class Elsewhere:
    """A call that another process makes. `measure` has it timed there."""

    def __init__(self, framework: "_Process", prepared: dict):
        self._framework = framework
        self._prepared = prepared

    def __call__(self) -> list[np.ndarray]:
        """The results, after a call."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "results.npz")
            self._framework.ask(results=str(path), **self._prepared)
            with np.load(path) as file:
                return [file[name] for name in sorted(file.files)]

    def block(self, calls: int, lead_in: float) -> float:
        """What `measure.block` finds there: seconds a call."""
        return self._framework.ask(calls=calls, lead_in=lead_in, **self._prepared)["seconds"]


class _Process:
    """The process, which keeps the latest call that it was given."""

    def __init__(self, name, threads):
        self._worker = process.Worker(_WORKER_MODULE, [name, str(threads)])
        atexit.register(self._worker.stop)

    def ask(self, **question):
        """Its answer. Raises Refused, or OSError if there is none."""
        self._worker.send(**question)
        evidence = ""
        while not evidence:
            if not process.wait([self._worker], _LIMIT_SECONDS):
                evidence = self._worker.last_words(f"no answer within {_LIMIT_SECONDS} s")
            elif (messages := self._worker.receive()) is None:
                evidence = self._worker.last_words()
            elif messages:
                (answer,) = messages
                if "refused" in answer:
                    raise Refused(answer["refused"])
                return answer
        _process.cache_clear()  # the next call has a new one
        raise OSError(f"its process ended: {process.brief(evidence)}")


@functools.cache
def _process(name, threads):
    return _Process(name, threads)


def prepare(name: str, call: Call, threads: int) -> Contender:
    """A framework's calls; Refused if it cannot make them, OSError if its process dies of it."""
    fields = {"shape": shapes.to_json(call.shape), "op": call.op}
    fields |= {"dtype": call.dtype, "layout": call.layout, "cold": call.cold}
    elsewhere = Elsewhere(_process(name, threads), {"call": json.dumps(fields)})
    return Contender(elsewhere, lambda results: _narrowed(results, call))


def _narrowed(results, call):
    """Results as the framework has them; they travel as a type that NumPy's files know."""
    return [array.astype(call.numpy_dtype) for array in results]
