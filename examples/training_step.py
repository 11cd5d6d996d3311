"""Training steps in a tf.function: the convolution and both of its gradients are tf_dwbp's ops.

The loss has to fall, and the first gradient to be the one that TensorFlow's own ops compute.
"""

import sys

import numpy as np
import tensorflow as tf

import tf_dwbp

IMAGES = tf.random.stateless_normal([8, 16, 16, 32], seed=[1, 0])
TARGET = tf.random.stateless_normal([8, 8, 8, 32], seed=[2, 0])
KERNEL = tf.random.stateless_normal([3, 3, 32, 1], seed=[3, 0])


def loss_and_gradient(depthwise_conv2d, kernel):
    """The loss of a small network: a depthwise convolution of stride 2, and what it should be."""
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        output = depthwise_conv2d(IMAGES, kernel, strides=[1, 2, 2, 1], padding="SAME")
        loss = tf.reduce_mean((output - TARGET) ** 2)
    return loss, tape.gradient(loss, kernel)


@tf.function
def train_step(kernel):
    """One step down the gradient."""
    loss, gradient = loss_and_gradient(tf_dwbp.nn.depthwise_conv2d, kernel)
    kernel.assign_sub(10.0 * gradient)
    return loss, gradient


def main():
    kernel = tf.Variable(KERNEL)
    losses, gradients = zip(*[train_step(kernel) for _ in range(20)], strict=True)
    _, stocks = loss_and_gradient(tf.nn.depthwise_conv2d, KERNEL)
    np.testing.assert_allclose(gradients[0], stocks, rtol=1e-4, atol=1e-6)
    first, last = float(losses[0]), float(losses[-1])
    print(f"loss {first:.2f} -> {last:.2f} in {len(losses)} steps; gradient equals TensorFlow's")
    return 0 if last < first / 2 else 1


if __name__ == "__main__":
    sys.exit(main())
