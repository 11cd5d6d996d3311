"""Models of the layers of `tf_dwbp.keras`: trained, saved, converted, without Keras."""

import importlib.util
import inspect
import subprocess
import sys
import unittest.mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import keras_layers as kl
import tf_dwbp.keras


def _model(layers, data_format="channels_last", policy="float32"):
    """A classifier that has what layers may have; `layers` is tf_dwbp.keras or keras.layers."""
    arguments = {"data_format": data_format, "dtype": policy}
    l2 = keras.regularizers.L2(0.01)
    images = keras.Input(kl.images(data_format).shape[1:])
    x = layers.DepthwiseConv2D(
        3,
        padding="same",
        depth_multiplier=4,
        activation="relu",
        depthwise_regularizer=l2,
        bias_regularizer=l2,
        # Keras adds it to the loss without a cast.
        activity_regularizer=l2 if policy == "float32" else None,
        **arguments,
    )(images)
    x = layers.SeparableConv2D(
        8,
        3,
        strides=2,
        activation="tanh",
        pointwise_regularizer=l2,
        depthwise_constraint=keras.constraints.MaxNorm(0.5),
        pointwise_constraint=keras.constraints.UnitNorm(),
        **arguments,
    )(x)
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", use_bias=False, **arguments)(x)
    x = keras.layers.GlobalAveragePooling2D(data_format=data_format)(x)
    return keras.Model(images, keras.layers.Dense(4, dtype="float32")(x))


def _compile(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)


def _losses(model, data_format="channels_last"):
    """Those of a few steps."""
    images, labels = kl.images(data_format, batch=24), np.arange(24) % 4
    arguments = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}
    return model.fit(images, labels, **arguments).history["loss"]


class ModelsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        data_format=kl.LAYOUTS, policy=("float32", "mixed_float16", "mixed_bfloat16")
    )
    def test_trains_as_with_keras_layers(self, data_format, policy):
        losses = []
        # Keras's in NHWC, where all of Keras's can train.
        for layers, layout in ((tf_dwbp.keras, data_format), (keras.layers, "channels_last")):
            model = _model(layers, layout, policy)
            kl.set_weights(model)
            _compile(model)
            losses.append(_losses(model, layout))
        bound = {"float32": 1e-5, "mixed_float16": 2e-3, "mixed_bfloat16": 2e-2}[policy]
        self.assertAllClose(*losses, rtol=bound, atol=0)
        self.assertNotAllClose(losses[1][0], losses[1][-1], rtol=2 * bound, atol=0)

    def test_weights_files(self):
        models = {"ours": _model(tf_dwbp.keras), "stock": _model(keras.layers)}
        images = kl.images()
        path = f"{self.get_temp_dir()}/a.weights.h5"
        for saved, loaded in (("ours", "stock"), ("stock", "ours")):
            source, target = models[saved], models[loaded]
            source.set_weights([kl.random(*w.shape, seed=len(saved)) for w in source.get_weights()])
            source.save_weights(path)
            target.load_weights(path)
            for got, expected in zip(target.get_weights(), source.get_weights(), strict=True):
                self.assertAllEqual(got, expected)
            self.assertAllClose(target(images), source(images), rtol=1e-4, atol=1e-4)

    def test_files_in_another_process(self):
        folder = self.get_temp_dir()
        images = kl.images(size=(12, 12))
        layers = [
            tf_dwbp.keras.DepthwiseConv2D(3, 2, ((1, 2), (0, 1)), dilation_rate=(1, 2)),
            tf_dwbp.keras.SeparableConv2D(4, 3, padding="same", activation="relu"),
        ]
        model = keras.Sequential([keras.Input([12, None, 3]), *layers])
        model.save(f"{folder}/model.keras")
        model.export(f"{folder}/exported", verbose=False)
        np.save(f"{folder}/images.npy", images)
        program = f"""
            import sys
            import numpy as np
            import keras
            import tensorflow as tf
            import tf_dwbp

            images = np.load("{folder}/images.npy")
            exported = tf.saved_model.load("{folder}/exported")
            assert "tf_dwbp.keras" not in sys.modules
            try:
                keras.models.load_model("{folder}/model.keras")
            except TypeError as error:
                assert "Could not locate class 'DepthwiseConv2D'" in str(error), error
            else:
                raise AssertionError("loaded classes that it cannot know")
            classes = [tf_dwbp.keras.DepthwiseConv2D, tf_dwbp.keras.SeparableConv2D]
            model = keras.models.load_model("{folder}/model.keras")
            assert [type(layer) for layer in model.layers] == classes, model.layers
            np.save("{folder}/results.npy", [exported.serve(images), model(images)])
        """
        subprocess.run([sys.executable, "-c", inspect.cleandoc(program)], check=True)
        for result in np.load(f"{folder}/results.npy"):
            self.assertAllClose(result, model(images))

    def test_exchanged_while_cloned(self):
        stock = _model(keras.layers)

        def ours(layer):
            cls = getattr(tf_dwbp.keras, type(layer).__name__, type(layer))
            return cls.from_config(layer.get_config())

        model = keras.models.clone_model(stock, clone_function=ours)
        model.set_weights(stock.get_weights())
        self.assertEqual(kl.op_types(model, tf.TensorSpec(stock.input_shape)).count(kl.OP), 3)
        self.assertAllClose(model(kl.images()), stock(kl.images()), rtol=1e-4, atol=1e-5)


class Derived(keras.layers.DepthwiseConv2D):
    def call(self, inputs):
        return 2 * super().call(inputs)


class Block(keras.layers.Layer):
    """A layer that holds others in a list and in a wrapper."""

    def __init__(self):
        super().__init__()
        self.convolutions = [keras.layers.DepthwiseConv2D(3, padding="same") for _ in range(2)]
        self.wrapper = keras.layers.TimeDistributed(keras.layers.SeparableConv2D(3, 3))

    def call(self, inputs):
        for convolution in self.convolutions:
            inputs = convolution(inputs)
        return self.wrapper(inputs[:, tf.newaxis])[:, 0]


class Subclassed(keras.Model):
    """A model made of code: nested models, a layer that is used twice, and a derived one."""

    def __init__(self):
        super().__init__()
        self.shared = keras.layers.DepthwiseConv2D(3, padding="same")
        self.derived = Derived(3)
        self.block = Block()
        inner = keras.Sequential([keras.layers.DepthwiseConv2D(2)])
        self.outer = keras.Sequential([keras.layers.SeparableConv2D(3, 3), inner])
        self.head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])

    def call(self, inputs):
        inputs = self.derived(self.shared(self.shared(inputs)))
        return self.head(self.outer(self.block(inputs)))


def _types(model):
    return [type(layer) for layer in model._flatten_layers()]


class ConvertTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(Subclassed, lambda: _model(keras.layers))
    def test_trains_on(self, make):
        model, stock = make(), make()
        for each in (model, stock):
            each(kl.images())  # builds it
            kl.set_weights(each)
            _compile(each)
            _losses(each)
        parts = [*model.weights, *model.optimizer.variables, *model._flatten_layers()]
        self.assertIs(tf_dwbp.keras.convert(model), model)
        after = [*model.weights, *model.optimizer.variables, *model._flatten_layers()]
        self.assertEqual(list(map(id, after)), list(map(id, parts)))
        self.assertAllClose(_losses(model), _losses(stock), rtol=1e-4, atol=0)

    def test_every_layer_wherever_it_is(self):
        model = Subclassed()
        model(kl.images())
        spec = tf.TensorSpec(kl.images().shape)
        before = _types(model)
        tf_dwbp.keras.convert(model)
        expected = {
            keras.layers.DepthwiseConv2D: 0,
            keras.layers.SeparableConv2D: 0,
            tf_dwbp.keras.DepthwiseConv2D: 4,
            tf_dwbp.keras.SeparableConv2D: 2,
            Derived: 1,
        }
        for _ in range(2):
            self.assertEqual({cls: _types(model).count(cls) for cls in expected}, expected)
            self.assertEqual(kl.op_types(model, spec).count(kl.STOCKS_OP), 1)  # the derived one's
            self.assertIs(tf_dwbp.keras.convert(model), model)  # once more
        self.assertIs(tf_dwbp.keras.revert(model), model)
        self.assertEqual(_types(model), before)
        self.assertNotIn(kl.OP, kl.op_types(model, spec))

    def test_traced_afresh(self):
        def functions(model):
            return [model.train_function, model.test_function, model.predict_function]

        inner = _model(keras.layers)
        model = keras.Sequential([inner, keras.layers.Activation("relu")])
        for change in (tf_dwbp.keras.convert, tf_dwbp.keras.revert):
            for each in (model, inner):
                _compile(each)
                each.make_train_function()
                each.make_test_function()
                each.make_predict_function()
                self.assertNotIn(None, functions(each))
            change(model)
            self.assertEqual(functions(model) + functions(inner), [None] * 6)
            model.make_predict_function()
            change(model)  # which changes nothing
            self.assertIsNotNone(model.predict_function)

    def test_saved_where_converted_and_where_reverted(self):
        model = tf_dwbp.keras.convert(_model(keras.layers))
        path = f"{self.get_temp_dir()}/model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
        self.assertEqual(_types(loaded), _types(model))
        self.assertIn(tf_dwbp.keras.DepthwiseConv2D, _types(loaded))
        self.assertAllClose(loaded(kl.images()), model(kl.images()))
        self.assertIn("tf_dwbp", str(keras.saving.serialize_keras_object(model)))
        tf_dwbp.keras.revert(model)
        self.assertNotIn("tf_dwbp", str(keras.saving.serialize_keras_object(model)))

    def test_layer(self):
        images = kl.images()
        _, layer = kl.alike("separable", images.shape, 3)
        expected = layer(images)
        self.assertIsInstance(tf_dwbp.keras.convert(layer), tf_dwbp.keras.SeparableConv2D)
        self.assertAllClose(layer(images), expected, rtol=1e-4, atol=1e-5)

    def test_errors(self):
        for model in (None, keras.layers.DepthwiseConv2D, tf.nn.depthwise_conv2d):
            for function in (tf_dwbp.keras.convert, tf_dwbp.keras.revert):
                with self.assertRaisesRegex(ValueError, "model must be a keras.Model or another"):
                    function(model)
        layers = [
            tf_dwbp.keras.DepthwiseConv2D(3),
            tf_dwbp.keras.SeparableConv2D(4, 3, padding=((1, 1), (2, 2)), name="padded"),
        ]
        with self.assertRaisesRegex(ValueError, r"that of padded is \(\(1, 1\), \(2, 2\)\)"):
            tf_dwbp.keras.revert(keras.Sequential(layers))
        self.assertIsInstance(layers[0], tf_dwbp.keras.DepthwiseConv2D)


class BackendTest(tf.test.TestCase):
    """The module's code, executed where Keras is another."""

    def _execute(self):
        spec = importlib.util.spec_from_file_location("another", tf_dwbp.keras.__file__)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def test_another_backend(self):
        with (
            unittest.mock.patch.object(keras.config, "backend", return_value="torch"),
            self.assertRaisesRegex(ImportError, "backend is torch: set KERAS_BACKEND=tensorflow"),
        ):
            self._execute()

    def test_without_keras(self):
        with (
            unittest.mock.patch.dict(sys.modules, {"keras": None}),
            self.assertRaisesRegex(
                ImportError, "cannot be imported.* set KERAS_BACKEND=tensorflow"
            ),
        ):
            self._execute()

    def test_attributes_of_the_package(self):
        self.assertIs(tf_dwbp.keras, sys.modules["tf_dwbp.keras"])
        with self.assertRaisesRegex(AttributeError, "module 'tf_dwbp' has no attribute 'kerass'"):
            tf_dwbp.kerass  # noqa: B018


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
