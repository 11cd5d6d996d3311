"""Keras models, unchanged, train on our ops with the losses that stock's give."""

import pathlib
import sys
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from packaging import version

from tf_dwbp import swap
from tf_dwbp.swap import grouped

_RANDOM = np.random.default_rng(3)
IMAGES = _RANDOM.standard_normal([16, 12, 12, 3], np.float32)
LABELS = _RANDOM.integers(0, 4, 16)


def _layers():
    """Two depthwise layers; the first op has no image gradient, the last is fused with its bias."""
    return [
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(6.0),
        keras.layers.SeparableConv2D(8, 3, strides=2, padding="same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4, dtype="float32"),
    ]


def sequential():
    return keras.Sequential([keras.layers.Input(IMAGES.shape[1:]), *_layers()])


def functional():
    inputs = hidden = keras.layers.Input(IMAGES.shape[1:])
    for layer in _layers():
        hidden = layer(hidden)
    return keras.Model(inputs, hidden)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.steps = _layers()

    def call(self, images, training=False):
        hidden = images
        for layer in self.steps:
            hidden = layer(hidden, training=training)
        return hidden


class Accumulating(keras.Sequential):
    """Adds up the gradients of both halves of a batch in a train step of its own."""

    def train_step(self, data):
        images, labels = data
        sums = None
        for half in (0, 1):
            with tf.GradientTape() as tape:
                outputs = self(images[half::2], training=True)
                loss = self.compute_loss(y=labels[half::2], y_pred=outputs)
            gradients = tape.gradient(loss, self.trainable_variables)
            sums = gradients if sums is None else [a + b for a, b in zip(sums, gradients)]  # noqa: B905
        self.optimizer.apply_gradients(zip(sums, self.trainable_variables, strict=True))
        return {"loss": loss}


def accumulating():
    return Accumulating([keras.layers.Input(IMAGES.shape[1:]), *_layers()])


class Recomputing(keras.Model):
    """Computes its inner layers a second time in the backward pass."""

    def __init__(self):
        super().__init__()
        self.convolution = self.add_weight(shape=(3, 3, 3, 2), name="convolution")
        self.dense = keras.layers.Dense(4)

    def call(self, images):
        @tf.recompute_grad
        def block(images, filter):  # noqa: A002
            return tf.nn.relu(tf.nn.depthwise_conv2d(images, filter, [1, 2, 2, 1], "SAME") * 2.0)

        hidden = block(images, tf.convert_to_tensor(self.convolution))
        return self.dense(tf.reduce_mean(hidden, [1, 2]))


def _losses(model, accumulation_steps=None, jit_compile=False, **options):
    """Trains for two epochs, of four steps each; the loss of every step."""
    keras.utils.set_random_seed(5)
    losses = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(logs["loss"])

    model.compile(
        keras.optimizers.SGD(0.1, gradient_accumulation_steps=accumulation_steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
        **options,
    )
    model.fit(
        IMAGES, LABELS, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[Record()]
    )
    return losses


def _stock_and_swapped(build, **options):
    """Losses of two models from one seed, the second swapped in, and the report on that."""
    runs = []
    for ours in (False, True):
        keras.utils.set_random_seed(4)
        model = build()
        if ours:
            with swap.installed():
                runs.append(_losses(model, **options))
        else:
            runs.append(_losses(model, **options))
    return (*runs, swap.report(model))


class TrainTest(tf.test.TestCase, parameterized.TestCase):
    def _assert_alike(self, stock, swapped, rtol=1e-5):
        self.assertGreater(np.ptp(stock), 1e-2)  # it learns
        self.assertAllClose(swapped, stock, rtol=rtol)

    @parameterized.parameters(sequential, functional, Subclassed, accumulating)
    def test_losses_are_stocks(self, build):
        stock, swapped, report = _stock_and_swapped(build)
        self._assert_alike(stock, swapped)
        steps = 2 if build is accumulating else 1
        self.assertEqual((report.ours, report.stock), (5 * steps, 0), report)

    def test_recomputed(self):
        stock, swapped, report = _stock_and_swapped(Recomputing)
        self._assert_alike(stock, swapped)
        self.assertGreaterEqual(report.ours, 2)
        self.assertEqual(report.stock, 0, report)

    @parameterized.parameters(("mixed_float16", 2e-2), ("mixed_bfloat16", 5e-2))
    def test_mixed_precision(self, policy, rtol):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        self.addCleanup(keras.config.set_dtype_policy, before)
        stock, swapped, report = _stock_and_swapped(functional)
        self._assert_alike(stock, swapped, rtol)
        self.assertEqual((report.ours, report.stock), (5, 0), report)

    def test_steps_per_execution(self):
        stock, swapped, report = _stock_and_swapped(sequential, steps_per_execution=2)
        self._assert_alike(stock, swapped)
        self.assertEqual((report.ours % 5, report.stock), (0, 0), report)
        self.assertGreater(report.ours, 0)

    def test_accumulation_by_the_optimizer(self):
        stock, swapped, report = _stock_and_swapped(sequential, accumulation_steps=2)
        self._assert_alike(stock, swapped)
        self.assertEqual((report.ours, report.stock), (5, 0), report)

    @pytest.mark.xla
    def test_compiled_by_xla(self):
        keras.utils.set_random_seed(4)
        plain = _losses(functional())
        _, swapped, report = _stock_and_swapped(functional, jit_compile=True)
        self._assert_alike(plain, swapped, rtol=1e-4)
        # As traced: before Keras 3.16 with a gradient of the images, which nobody needs and XLA
        # removes.
        traced = 5 if version.Version(keras.__version__).release >= (3, 16) else 6
        self.assertEqual((report.ours, report.stock), (traced, 0), report)
        whys = {entry.why for entry in report.entries}
        self.assertEqual(whys, {"compiled by XLA"})

    def test_run_eagerly(self):
        def calls():
            return sum(
                entry.count
                for entry in swap.report().entries
                if (entry.where, entry.by) == ("eager calls", "ours")
            )

        keras.utils.set_random_seed(4)
        stock = _losses(sequential(), run_eagerly=True)
        keras.utils.set_random_seed(4)
        before = calls()
        with swap.installed():
            swapped = _losses(sequential(), run_eagerly=True)
        self._assert_alike(stock, swapped)
        self.assertGreaterEqual(calls() - before, 8 * 5)

    def test_a_model_trained_before_keeps_stocks_until_compiled_again(self):
        model = sequential()
        _losses(model)
        with swap.installed():
            model.fit(IMAGES, LABELS, batch_size=4, verbose=0)
            self.assertEqual(swap.report(model).ours, 0)
            _losses(model)
        self.assertEqual((swap.report(model).ours, swap.report(model).stock), (5, 0))

    def test_a_model_from_a_file(self):
        keras.utils.set_random_seed(4)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.keras")
            sequential().save(path)
            stock, swapped, report = _stock_and_swapped(lambda: keras.models.load_model(path))
        self._assert_alike(stock, swapped)
        self.assertEqual((report.ours, report.stock), (5, 0), report)

    def test_prediction(self):
        model = sequential()
        expected = model.predict(IMAGES, verbose=0)
        model.predict_function = None
        with swap.installed():
            self.assertAllClose(model.predict(IMAGES, verbose=0), expected, rtol=1e-5, atol=1e-6)
            report = swap.report(model.predict_function)
        self.assertEqual((report.ours, report.stock), (2, 0), report)

    def test_reports_of_models_that_have_no_train_step(self):
        with self.assertRaisesRegex(ValueError, "has not been trained"):
            swap.report(sequential())
        model = sequential()
        _losses(model, run_eagerly=True)
        with self.assertRaisesRegex(ValueError, "trained eagerly"):
            swap.report(model)


class GroupedTest(tf.test.TestCase, parameterized.TestCase):
    """Convolutions with groups: Keras has XLA compile them, unless they are depthwise ones."""

    def _gradients(self, layer, images):
        @tf.function
        def step(images):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = layer(images)
                loss = tf.reduce_sum(outputs**2)
            return outputs, *tape.gradient(loss, [images, layer.kernel])

        return step(images), swap.report(step)

    @parameterized.parameters(
        ({"groups": 6}, True),
        ({"groups": 6, "filters": 12, "padding": "same"}, True),
        ({"groups": 6, "strides": 2, "use_bias": False}, True),
        ({"groups": 6, "dilation_rate": (2, 1), "padding": "same"}, True),
        ({"groups": 6, "strides": [2, 2], "data_format": "channels_first"}, True),
        ({"groups": 3}, False),
        ({"groups": 1}, False),
        ({"groups": 6, "strides": (1, 2)}, False),
    )
    def test_depthwise_ones_are_swapped(self, options, depthwise):
        images = tf.constant(_RANDOM.standard_normal([2, 9, 8, 6], np.float32))
        if options.get("data_format"):
            images = tf.transpose(images, [0, 3, 1, 2])
        layer = keras.layers.Conv2D(**{"filters": 6, "kernel_size": 3, **options})
        layer.build(images.shape)
        expected, _ = self._gradients(layer, images)
        with swap.installed():
            found, report = self._gradients(layer, images)
        by = {entry.op: entry.by for entry in report.entries}
        left = [entry.why for entry in report.entries if entry.where == grouped.WHERE]
        self.assertLen(left, options.get("strides") == (1, 2), report)
        if depthwise:
            self.assertEqual((by["input_grad"], by["filter_grad"]), ("ours", "ours"), report)
        elif left:
            self.assertIn("no strides of 1 and 2", left[0])
        else:
            self.assertEmpty(by)
        for ours, stock in zip(found, expected, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-5, atol=1e-5)

    def test_a_model_of_them_trains(self):
        def build():
            return keras.Sequential(
                [
                    keras.layers.Input(IMAGES.shape[1:]),
                    keras.layers.Conv2D(8, 4, strides=4),
                    keras.layers.Conv2D(8, 3, padding="same", groups=8, use_bias=False),
                    keras.layers.LayerNormalization(),
                    keras.layers.GlobalAveragePooling2D(),
                    keras.layers.Dense(4),
                ]
            )

        stock, swapped, report = _stock_and_swapped(build)
        self.assertAllClose(swapped, stock, rtol=1e-5)
        self.assertEqual((report.ours, report.stock), (3, 0), report)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
