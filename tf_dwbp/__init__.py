"""Depthwise convolution's input gradient for TensorFlow: right in every combination.

Importing the package loads the op library and registers the op's gradient, so that SavedModels
that hold the op can be served after `import tf_dwbp`.
"""

from tf_dwbp import _library

_library.load()

from tf_dwbp import gradients, ops  # noqa: E402  (needs the library)

__all__ = ["gradients", "ops"]
