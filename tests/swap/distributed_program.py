"""Trains a depthwise model under a strategy; a program of its own, as each strategy needs.

Usage: distributed_program.py loop|fit plain|mirrored|multiworker stock|swapped

Prints as JSON the losses, of each step or epoch, and how many depthwise ops were ours and stock's,
and why the latter. Each of several workers prints the same losses.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from tf_dwbp import swap

STEPS, BATCH, CHANNELS, OUTPUTS = 4, 8, 3, 4


def strategy(kind):
    if kind == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if kind == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def data():
    random = np.random.default_rng(1)
    images = random.standard_normal([STEPS * BATCH, 8, 8, CHANNELS], np.float32)
    targets = random.standard_normal([STEPS * BATCH, OUTPUTS], np.float32)
    return tf.data.Dataset.from_tensor_slices((images, targets)).batch(BATCH)


def loop(where):
    """A custom training loop; returns its losses and its step."""
    random = np.random.default_rng(2)
    shapes = [3, 3, CHANNELS, 2], [3, 3, 2 * CHANNELS, 1], [2 * CHANNELS, OUTPUTS]
    with where.scope():
        weights = [tf.Variable(random.standard_normal(shape, np.float32) * 0.3) for shape in shapes]

    def loss_of(images, targets):
        hidden = tf.nn.relu(tf.nn.depthwise_conv2d(images, weights[0], [1, 1, 1, 1], "SAME"))
        hidden = tf.nn.depthwise_conv2d(hidden, weights[1], [1, 2, 2, 1], "SAME")
        outputs = tf.reduce_mean(hidden, [1, 2]) @ weights[2]
        return tf.reduce_sum((outputs - targets) ** 2) / BATCH  # of all replicas

    def descend(weight, gradient):
        weight.assign_sub(0.1 * gradient)

    def update(strategy, weight, gradient):
        strategy.extended.update(weight, descend, args=(gradient,))

    def of_replica(images, targets):
        with tf.GradientTape() as tape:
            loss = loss_of(images, targets)
        context = tf.distribute.get_replica_context()
        gradients = tape.gradient(loss, weights)
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        for weight, gradient in zip(weights, gradients, strict=True):
            context.merge_call(update, args=(weight, gradient))
        return loss

    @tf.function
    def step(images, targets):
        losses = where.run(of_replica, args=(images, targets))
        return where.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    batches = where.experimental_distribute_dataset(data())
    return [float(step(*batch)) for batch in batches], step


def fit(where):
    """Keras's own training; returns the losses of the epochs and the model."""
    keras.utils.set_random_seed(1)
    with where.scope():
        model = keras.Sequential(
            [
                keras.layers.Input([8, 8, CHANNELS]),
                keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False),
                keras.layers.SeparableConv2D(OUTPUTS, 3, strides=2),
                keras.layers.GlobalAveragePooling2D(),
            ]
        )
        model.compile("sgd", "mse")
    return model.fit(data(), epochs=3, shuffle=False, verbose=0).history["loss"], model


def main(way, kind, swapped):
    if swapped == "swapped":
        swap.install()
    losses, trained = {"loop": loop, "fit": fit}[way](strategy(kind))
    report = swap.report(trained)
    result = {"losses": losses, "ours": report.ours, "stock": report.stock}
    print(json.dumps({**result, "undecided": report.undecided}))


if __name__ == "__main__":
    main(*sys.argv[1:])
