"""Functions for `--target` that claim to run on a device, in several ways."""

import numpy as np
import tensorflow as tf

_OP = tf.raw_ops.DepthwiseConv2dNative


def there(**arguments):
    """Where it is called."""
    return _OP(**arguments)


_program = tf.function(
    lambda input, filter, **attributes: _OP(input=input, filter=filter, **attributes)
)


def there_from_a_function_of_its_own(input, filter, **attributes):
    return tf.identity(_program(input, filter, **attributes))


def on_the_cpu(**arguments):
    """On the CPU, and the result is copied to where it is called."""
    with tf.device("CPU:0"):
        result = _OP(**arguments)
    return tf.identity(result)


def on_the_cpu_from_a_function_of_its_own(input, filter, **attributes):
    with tf.device("CPU:0"):
        result = _program(input, filter, **attributes)
    return tf.identity(result)


def folded(input, filter, **attributes):
    """Of constants: TensorFlow computes it on the CPU while it optimizes the graph."""
    known = {"input": np.ones(input.shape, "float32"), "filter": np.ones(filter.shape, "float32")}
    return _OP(**{name: tf.constant(array) for name, array in known.items()}, **attributes)


def numpy(input, **attributes):
    """No op at all."""
    return tf.constant(np.zeros(input.shape, "float32"))


def softly(**arguments):
    """Wherever there is a kernel."""
    tf.config.set_soft_device_placement(True)
    return _OP(**arguments)


BY_BATCH = (
    there,
    there_from_a_function_of_its_own,
    on_the_cpu,
    on_the_cpu_from_a_function_of_its_own,
    folded,
    numpy,
)


def by_batch(input, filter, **attributes):
    """The first of these for one image, the second for two, and so on."""
    return BY_BATCH[input.shape[0] - 1](input=input, filter=filter, **attributes)


def libraries(**arguments):
    """Raises an error that says which of the package's libraries the process has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps}
    raise ValueError(f"loaded {sorted(path for path in paths if '_tf_dwbp' in path)}")
