"""What tests of fused BatchNormalization share: the oracle, and how far float32 may be from it.

The oracle is Keras's own layer in float64, which nobody fuses.
"""

import numpy as np
import tensorflow as tf

# How much rounding to the nearest changes a number of the type, as a share of it.
UNITS = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
_UNIT = UNITS["float32"]  # of the statistics
_SMALLEST = 2.0**-24  # in float16, which has denormals only below 2**-14

MOMENTUM, EPSILON = 0.9, 1e-3


def random(shape, dtype="float32", mean=0.5, scale=1.0, seed=0):
    """Numbers that the type can hold."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape) * scale + mean
    return tf.cast(values, dtype)


def layer_of(keras, channels, dtype="float32", seed=0, rank=4, **options):
    """A layer with random weights, the same for all types."""
    policy = {"float32": "float32", "float64": "float64"}.get(dtype, f"mixed_{dtype}")
    options = {"momentum": MOMENTUM, "epsilon": EPSILON, **options}
    if keras.__version__ < "3":
        policy = keras.mixed_precision.Policy(policy)
    layer = keras.layers.BatchNormalization(dtype=policy, **options)
    layer.build([None] * (rank - 1) + [channels])
    drawn = np.random.default_rng(seed)
    for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        values = drawn.uniform(0.5, 2, channels).astype(np.float32)
        if variable is not None:
            variable.assign(values)
    return layer


def train(layer, inputs, grads, wrap=lambda step: step):
    """Calls the layer in training, and takes its gradients.

    Args:
      layer: it is built.
      inputs: a tensor.
      grads: the outputs' gradients.
      wrap: makes something else of the function that does it, for example a `tf.function`.

    Returns:
      Arrays of float64 by name: the outputs, the gradients, and the moving statistics.
    """
    weights = {n: getattr(layer, n) for n in ("gamma", "beta") if getattr(layer, n) is not None}

    def step(inputs, grads):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        found = tape.gradient(outputs, [inputs, *weights.values()], grads)
        return outputs, *found

    results = wrap(step)(inputs, grads)
    names = ["outputs", "inputs_grad", *(f"{name}_grad" for name in weights)]
    results = dict(zip(names, results, strict=True))
    results |= {n: tf.convert_to_tensor(getattr(layer, n)) for n in _MOVING}
    return {name: np.asarray(tf.cast(tensor, tf.float64)) for name, tensor in results.items()}


_MOVING = ("moving_mean", "moving_variance")


def bounds(layer, inputs, grads, dtype, epsilon=EPSILON):
    """How far `train` of a layer may be from what a float64 layer gives, element by element.

    Sums of n numbers are n - 1 roundings off at most, in whatever order they are added, and each
    product, quotient or root a few; squares are summed of differences from the mean, as it was
    computed. Results are rounded once more to `dtype`.

    Args:
      layer: the float64 layer before it is called.
      inputs, grads: arrays of float64.
      dtype: of the results.
    """
    channels = inputs.shape[-1]
    x, dy = inputs.reshape([-1, channels]), grads.reshape([-1, channels])
    gamma, beta = (
        default if variable is None else np.asarray(variable)
        for variable, default in ((layer.gamma, 1.0), (layer.beta, 0.0))
    )
    n, few = len(x), 10 * _UNIT
    sums = n * _UNIT + few
    mean, variance = x.mean(0), x.var(0)
    of_mean = sums * np.abs(x).mean(0)
    of_variance = of_mean**2 + sums * (variance + of_mean**2)
    divisor = np.sqrt(variance + epsilon)
    of_divisor = of_variance / (variance + epsilon) + few  # of its own size
    normal = (x - mean) / divisor
    of_normal = of_mean / divisor + (of_divisor + few) * np.abs(normal)
    factor = np.abs(gamma) / divisor
    outputs = gamma * normal + beta
    # It may be computed as x * factor + (beta - mean * factor).
    of_outputs = np.abs(gamma) * of_normal + few * (
        factor * (np.abs(x) + np.abs(mean)) + np.abs(beta)
    )
    of_gamma = (np.abs(dy) * of_normal).sum(0) + sums * np.abs(dy * normal).sum(0)
    of_beta = sums * np.abs(dy).sum(0)
    slope = np.abs((dy * normal).mean(0))
    parts = np.abs(dy) + np.abs(dy.mean(0)) + np.abs(normal) * slope
    of_inputs = factor * (
        of_beta / n
        + np.abs(normal) * of_gamma / n
        + of_normal * slope
        + (3 * of_divisor + few) * parts
    )
    inputs_grad = gamma / divisor * (dy - dy.mean(0) - normal * (dy * normal).mean(0))

    def rounded(bound, result):
        bound = bound + 1.01 * UNITS[dtype] * (np.abs(result) + bound) + _SMALLEST
        return bound.reshape(inputs.shape)

    def moved(bound, moving, value):
        return (1 - MOMENTUM) * bound + few * (np.abs(np.asarray(moving)) + np.abs(value))

    return {
        "outputs": rounded(of_outputs, outputs),
        "inputs_grad": rounded(of_inputs, inputs_grad),
        "gamma_grad": of_gamma,
        "beta_grad": of_beta,
        "moving_mean": moved(of_mean, layer.moving_mean, mean),
        "moving_variance": moved(of_variance, layer.moving_variance, variance),
    }
