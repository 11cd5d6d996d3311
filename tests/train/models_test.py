"""The data and the models that trainings take."""

import importlib.util
import sys
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import tiny_model
from tf_dwbp.bench.training import SIZES
from tf_dwbp.tools import digits, models
from tf_dwbp.tools.models import MODELS

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("sklearn"), reason="scikit-learn is not installed"
)


class DataTest(tf.test.TestCase):
    def test_batches_are_the_digits_and_the_same_each_time(self):
        from sklearn import datasets

        drawn = digits.Digits(8, lambda pixels: pixels, seed=3)
        batches, again = drawn.batches(100), drawn.batches(100)
        original = datasets.load_digits()
        known = {
            tuple(image.ravel()): label
            for image, label in zip(original.images, original.target, strict=True)
        }
        for _ in range(20):  # more than there are in one go through the images
            images, labels = next(batches)
            self.assertAllEqual(images, next(again)[0])
            values = images.numpy()
            self.assertAllEqual(values[..., 0].shape, (100, 8, 8))
            self.assertNotAllClose(values[..., 0], values[..., 1])  # each has its own noise
            clean = np.round(values.mean(axis=-1) / 255 * 16)  # but for the noise that is left
            near = [self._nearest(known, image) for image in clean[:5]]
            self.assertAllEqual(near, labels[:5])

    def _nearest(self, known, image):
        images = np.array(list(known))
        distances = np.sum((images - image.ravel()) ** 2, axis=1)
        return list(known.values())[int(np.argmin(distances))]

    def test_what_is_held_out_is_not_trained_on(self):
        with mock.patch.object(digits, "_NOISE", 0):
            drawn = digits.Digits(8, lambda pixels: pixels)
            held_out, labels = drawn.held_out()
            batches = drawn.batches(digits.TRAINED_ON)
            trained, _ = next(batches)
        self.assertEqual(len(held_out) + len(trained), 1797)
        self.assertEqual(set(labels), set(range(10)))
        images = {image.numpy().tobytes() for image in trained}
        self.assertLess(sum(image.numpy().tobytes() in images for image in held_out), 5)


class ModelsTest(tf.test.TestCase, parameterized.TestCase):
    def test_convnext_with_depthwise_layers_is_the_application(self):
        keras.utils.set_random_seed(1)
        application = keras.applications.ConvNeXtTiny(
            weights=None, input_shape=(32, 32, 3), classes=10
        )
        model = models.with_depthwise_layers(application)
        replaced = [x for x in model.layers if isinstance(x, keras.layers.DepthwiseConv2D)]
        self.assertLen(replaced, 18)
        self.assertFalse(any(models._is_depthwise(layer) for layer in model.layers))
        for layer in application.layers:
            if type(layer).__name__ == "LayerScale":  # so that blocks matter
                layer.gamma.assign(tf.ones_like(layer.gamma))
                model.get_layer(layer.name).gamma.assign(tf.ones_like(layer.gamma))
        images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
        self.assertAllClose(model(images), application(images), rtol=1e-4, atol=1e-5)

    @parameterized.parameters(("mobilenet_v2", 17), ("mobilenet_v3", 11))
    def test_mobilenets_have_depthwise_layers(self, name, number):
        model = MODELS[name].build(32, 10, 0, "float32")
        found = [x for x in model.layers if isinstance(x, keras.layers.DepthwiseConv2D)]
        self.assertLen(found, number)

    @parameterized.parameters(*MODELS)
    def test_each_model_is_an_application(self, name):
        model = MODELS[name]
        self.assertTrue(callable(getattr(keras.applications, model.application)))
        self.assertEqual(model.preprocess(np.zeros([1, 8, 8, 3])).shape, (1, 8, 8, 3))
        self.assertIsNone(model.refusal(model.image_size, model.batch))
        self.assertIsNone(model.refusal(*SIZES[name]))

    def test_models_without_grouped_convolutions_stay_as_they_are(self):
        model = tiny_model.build()
        self.assertIs(models.with_depthwise_layers(model), model)

    @parameterized.parameters("float32", "mixed_bfloat16")
    def test_a_seed_makes_the_same_model_and_leaves_keras_as_it_was(self, policy):
        build = MODELS["mobilenet"].build
        first, second, other = (build(32, 10, seed, policy) for seed in (4, 4, 5))
        for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
            self.assertAllEqual(a, b)
        self.assertNotAllEqual(first.get_weights()[0], other.get_weights()[0])
        self.assertEqual(first.layers[1].dtype_policy.name, policy)
        self.assertEqual(keras.config.dtype_policy().name, "float32")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
