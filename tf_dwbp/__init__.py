"""Depthwise convolution and its gradients for TensorFlow: right in every combination.

`tf_dwbp.nn` has the functions of `tf.nn`, `tf_dwbp.ops` the ops themselves, with the signatures of
`tf.raw_ops`, `tf_dwbp.keras` layers, and `tf_dwbp.swap` puts the ops in stock's place while a model
that knows nothing of them trains. Importing the package loads the op library and registers the ops'
gradients, so that SavedModels that hold the ops can be served after `import tf_dwbp`.

Two kinds of processes get the library only with the first of these modules. Those of the program
`tf-dwbp` do, since most of what it does needs no ops of ours. And an installation that was built
without the library has none: the modules' import says so.
"""

import importlib
from typing import Any

from tf_dwbp import _library
from tf_dwbp._library import build_info
from tf_dwbp._version import __version__

__all__ = ["__version__", "build_info", "flops", "gradients", "nn", "ops", "swap", "vectorize"]

# keras: not everyone has Keras, or has it on TensorFlow.
_WHEN_ASKED_FOR = {*__all__, "keras"} - {"__version__", "build_info"}

if not _library.in_program() and _library.is_built():
    from tf_dwbp import ops  # isort: skip  (first: its errors say what is missing)
    from tf_dwbp import flops, gradients, nn, swap, vectorize


def __getattr__(name: str) -> Any:
    if name in _WHEN_ASKED_FOR:
        return importlib.import_module(f"tf_dwbp.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
