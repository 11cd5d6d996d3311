"""A Keras model that knows nothing of tf_dwbp trains on its ops, and learns what it always did."""

import sys

import keras
import numpy as np

import tf_dwbp


def train():
    """Trains a small MobileNet. Returns its losses and whose ops ran."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(16, 1, activation="relu"),
            layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    random = np.random.default_rng(1)
    labels = random.integers(3, size=64)
    images = random.random([64, 20, 20, 3], np.float32)
    images[range(64), :, :, labels] += 0.5  # red, green or blue
    history = model.fit(images, labels, batch_size=8, epochs=6, verbose=0)
    return history.history["loss"], tf_dwbp.swap.report(model)


def main():
    stocks, _ = train()
    with tf_dwbp.swap.installed():  # or `tf-dwbp run script.py`, without a line of the script
        losses, report = train()
    print(report)
    np.testing.assert_allclose(losses, stocks, rtol=1e-3)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; by TensorFlow's ops {stocks[-1]:.3f}")
    # Two layers, and three ops of each in a step.
    return 0 if (report.ours, report.stock) == (6, 0) and losses[-1] < losses[0] / 2 else 1


if __name__ == "__main__":
    sys.exit(main())
