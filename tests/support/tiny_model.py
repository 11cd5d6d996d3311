"""A model like the big ones, small enough for tests: depthwise layers, dropout, and no kink."""

from unittest import mock

import keras

from tf_dwbp.tools.models import MODELS, Model


def build(image_size=16, classes=10, seed=0, policy="float32"):
    """The model; the arguments are those of `Model.build`."""
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    layers = keras.layers
    blocks = []
    for size in (3, 5, 3):
        depthwise = layers.DepthwiseConv2D(
            size, padding="same", use_bias=False, depthwise_initializer="he_normal"
        )
        pointwise = layers.Conv2D(16, 1, use_bias=False)
        blocks += [depthwise, pointwise, layers.BatchNormalization(), layers.Activation("swish")]
    model = keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            layers.Conv2D(16, 3, strides=2),
            *blocks,
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )
    keras.config.set_dtype_policy(before)
    return model


class _Tiny(Model):
    def build(self, *arguments):
        return build(*arguments)

    @property
    def preprocess(self):
        return lambda pixels: pixels / 127.5 - 1


TINY = _Tiny("Tiny", "none", image_size=16, batch=16, smallest=8, warm_up=30, steps=12)


def in_place_of_mobilenet():
    """A context in which the command line's mobilenet is the tiny model."""
    return mock.patch.dict(MODELS, {"mobilenet": TINY})
