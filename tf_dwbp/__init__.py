"""Depthwise convolution and its gradients for TensorFlow: right in every combination.

`tf_dwbp.nn` has the functions of `tf.nn`, `tf_dwbp.ops` the ops themselves, with the signatures of
`tf.raw_ops`, `tf_dwbp.keras` layers, and `tf_dwbp.swap` puts the ops in stock's place while a model
that knows nothing of them trains. Importing the package loads the op library and registers the ops'
gradients, so that SavedModels that hold the ops can be served after `import tf_dwbp`.
"""

import importlib

from tf_dwbp import _library
from tf_dwbp._library import build_info

_library.load_or_exit()

from tf_dwbp import flops, gradients, nn, ops, swap, vectorize  # noqa: E402  (need the library)

__all__ = ["build_info", "flops", "gradients", "nn", "ops", "swap", "vectorize"]


def __getattr__(name):
    # Imported when asked for: not everyone has Keras, or has it on TensorFlow.
    if name == "keras":
        return importlib.import_module("tf_dwbp.keras")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
