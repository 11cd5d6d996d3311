"""Mixed precision in a step that XLA compiles: bfloat16 numbers, float32 weights.

Three separable convolutions learn as they do in float32, to within bfloat16's eight bits.
"""

import sys

import keras
import numpy as np

import tf_dwbp
import tf_dwbp.keras


def train(policy):
    """The losses of ten steps, and the type of what the layers compute."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            tf_dwbp.keras.DepthwiseConv2D(3, padding="same", dtype=policy),
            tf_dwbp.keras.SeparableConv2D(16, 3, strides=2, activation="relu", dtype=policy),
            tf_dwbp.keras.SeparableConv2D(16, 3, dilation_rate=2, dtype=policy),
            keras.layers.GlobalAveragePooling2D(dtype="float32"),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=True)
    images = np.random.default_rng(1).normal(size=[16, 12, 12, 8]).astype("float32")
    labels = images.mean(axis=(1, 2, 3)) + 1
    losses = model.fit(images, labels, batch_size=16, epochs=10, verbose=0).history["loss"]
    return np.array(losses), model.layers[0].compute_dtype


def main():
    if reason := tf_dwbp.build_info()["why_no_xla"]:
        sys.exit(f"this build has no XLA kernels: {reason}")
    (exact, _), (mixed, dtype) = train("float32"), train("mixed_bfloat16")
    off = np.max(np.abs(mixed - exact) / exact)
    print(f"jit, {dtype}: loss {mixed[0]:.3f} -> {mixed[-1]:.3f}, {off:.1%} off float32's at most")
    return 0 if dtype == "bfloat16" and mixed[-1] < mixed[0] / 2 and 0 < off < 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
