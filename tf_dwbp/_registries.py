"""What TensorFlow's Python knows about the ops by their names.

Its registries are the process's, and refuse a name that they have. The package may be imported
again, or one of its modules reloaded: then the first registration stays.
"""

import contextlib

import tensorflow as tf
from tensorflow.python.framework import ops as framework_ops

try:  # Not public: where it is missing, loops stay loops.
    from tensorflow.python.ops.parallel_for.pfor import RegisterPFor, wrap
except ImportError:
    RegisterPFor = wrap = None


def gradient(op):
    """Registers the decorated function as the gradient of an op, unless it has one."""
    return _unless_taken(tf.RegisterGradient(op), KeyError)


def converter(op):
    """Registers how pfor makes one op of a loop over an op, unless it knows."""
    if RegisterPFor is None:
        return lambda function: function
    return _unless_taken(RegisterPFor(op), AssertionError)


def flops(op):
    """Registers how many floating-point operations an op takes, unless that is known."""
    return _unless_taken(framework_ops.RegisterStatistics(op, "flops"), KeyError)


def _unless_taken(register, taken):
    def decorate(function):
        with contextlib.suppress(taken):
            register(function)
        return function

    return decorate
