"""`tf_dwbp.keras` beside Keras's own layers where these are right, and the definition elsewhere."""

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

import tf_dwbp.keras
from tf_dwbp.conformance import reference

_NAMES = ("depthwise", "separable")
_LAYOUTS = ("channels_last", "channels_first")
_OP, _STOCKS_OP = "TfDwbp>DepthwiseConv2dNative", "DepthwiseConv2dNative"


def _random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def _images(data_format="channels_last", batch=2, size=(9, 10)):
    """The same ones in either layout."""
    images = _random(batch, *size, 3).astype(np.float32)
    return images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)


def _classes(name):
    if name == "depthwise":
        return tf_dwbp.keras.DepthwiseConv2D, keras.layers.DepthwiseConv2D
    return tf_dwbp.keras.SeparableConv2D, keras.layers.SeparableConv2D


def _make(cls, *args, **kwargs):
    # No results in these tests are 4 wide, but for those of the test of just that.
    filters = (4,) if issubclass(cls, keras.layers.SeparableConv2D) else ()
    return cls(*filters, *args, **kwargs)


def _set_weights(layer):
    layer.set_weights([0.3 * _random(*weight.shape) for weight in layer.get_weights()])


def _alike(name, shape, *args, **kwargs):
    """One of ours and one of Keras's, with the same weights."""
    ours, stock = (_make(cls, *args, **kwargs) for cls in _classes(name))
    for layer in (ours, stock):
        layer.build(shape)
        _set_weights(layer)
    return ours, stock


def _run(layer, images):
    """The layer's result, the factors of the sum that is derived, and its gradients."""
    images = tf.convert_to_tensor(images)
    variables = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(images)
        result = layer(images)
        upstream = tf.cast(_random(*result.shape, seed=1), result.dtype)
        loss = tf.reduce_sum(result * upstream)
    return result, upstream, tape.gradient(loss, [images, *variables])


def _op_types(function, *specs):
    """Those of a trace, functions that it calls included."""
    graph = tf.function(function).get_concrete_function(*specs).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return [node.op for node in nodes]


class LikeKerasTest(tf.test.TestCase, parameterized.TestCase):
    """Beside Keras's layer."""

    def assert_alike(self, ours, stock, images, rtol=1e-4):
        results = []
        for layer in (ours, stock):
            result, _, gradients = _run(layer, images)
            results.append([result, *gradients])
        for got, expected in zip(*results, strict=True):
            self.assertEqual((got.shape, got.dtype), (expected.shape, expected.dtype))
            got, expected = tf.cast(got, tf.float32), tf.cast(expected, tf.float32).numpy()
            self.assertAllClose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())

    @parameterized.parameters(*_NAMES)
    def test_constructors(self, name):
        ours, stock = _classes(name)
        self.assertEqual(inspect.signature(ours), inspect.signature(stock))

    @parameterized.product(
        name=_NAMES, given=({"strides": (2, 3)}, {"dilation_rate": 2}, {"dilation_rate": [3, 1]})
    )
    def test_configurations(self, name, given):
        arguments = given | {
            "kernel_size": (3, 2),
            "padding": "SAME",
            "data_format": "channels_first",
            "depth_multiplier": 2,
            "activation": "relu",
            "depthwise_regularizer": keras.regularizers.L2(0.1),
            "bias_constraint": "non_neg",
            "dtype": "mixed_bfloat16",
            "trainable": False,
            "name": "a",
        }
        ours, stock = (_make(cls, **arguments) for cls in _classes(name))
        self.assertEqual(ours.get_config(), stock.get_config())
        made = (ours.from_config(stock.get_config()), stock.from_config(ours.get_config()))
        for layer, cls in zip(made, _classes(name), strict=True):
            self.assertIs(type(layer), cls)
            self.assertEqual(layer.get_config(), stock.get_config())

    @parameterized.parameters(*_NAMES)
    def test_names_and_first_weights(self, name):
        found = []
        for cls in _classes(name):
            keras.backend.clear_session()
            keras.utils.set_random_seed(7)
            layers = [_make(cls, 3, dilation_rate=2) for _ in range(2)]
            for layer in layers:
                layer.build([None, 9, 9, 2])
            found.append([(layer.name, layer.get_weights()) for layer in layers])
        for (our_name, ours), (stocks_name, stocks) in zip(*found, strict=True):
            self.assertEqual(our_name, stocks_name)
            for got, expected in zip(ours, stocks, strict=True):
                self.assertAllEqual(got, expected)

    @parameterized.product(
        name=_NAMES,
        strides_dilations=((1, 1), (2, 1), (1, 2), (1, (3, 2))),
        padding=("valid", "same"),
        others=(
            {"depth_multiplier": 2, "activation": "tanh"},
            {"use_bias": False},
        ),
    )
    def test_results_and_gradients(self, name, strides_dilations, padding, others):
        strides, dilations = strides_dilations
        images = _images()
        arguments = others | {"dilation_rate": dilations}
        layers = _alike(name, images.shape, (3, 2), strides, padding, **arguments)
        self.assert_alike(*layers, images)

    @parameterized.product(name=_NAMES, policy=("mixed_float16", "mixed_bfloat16"))
    def test_mixed_precision(self, name, policy):
        images = _images()
        ours, stock = _alike(name, images.shape, 3, 2, "same", dtype=policy)
        self.assert_alike(ours, stock, images, rtol=0.01 if policy == "mixed_float16" else 0.06)
        self.assertEqual(ours(images).dtype.name, policy.removeprefix("mixed_"))
        self.assertEqual({variable.dtype for variable in ours.variables}, {"float32"})

    @parameterized.product(
        name=_NAMES,
        wrong=(
            {"strides": 0},
            {"strides": (1, 2, 1)},
            {"dilation_rate": -1},
            {"padding": "full"},
            {"depth_multiplier": 0},
            {"kernel_size": 0},
            {"data_format": "NHWC"},
        ),
    )
    def test_refuses_in_the_words_of_keras(self, name, wrong):
        texts = []
        for cls in _classes(name):
            with self.assertRaises(ValueError) as caught:
                _make(cls, **{"kernel_size": 3} | wrong)
            texts.append(str(caught.exception))
        self.assertEqual(texts[0], texts[1])

    @parameterized.product(name=_NAMES, data_format=_LAYOUTS)
    def test_refuses_shapes_in_the_words_of_keras(self, name, data_format):
        shape = _images(data_format).shape
        texts = []
        for cls in _classes(name):
            with self.assertRaises(ValueError) as caught:
                _make(cls, 3, dilation_rate=9, data_format=data_format).compute_output_shape(shape)
            texts.append(str(caught.exception))
        self.assertEqual(texts[0], texts[1])
        padding = ((4, 4), (0, 0))  # enough for the rows
        layer = _make(_classes(name)[0], 3, 1, padding, dilation_rate=8, data_format=data_format)
        with self.assertRaisesRegex(ValueError, "Computed output size would be"):
            layer.compute_output_shape(shape)

    @parameterized.parameters(*_NAMES)
    def test_refuses_images(self, name):
        layer = _make(_classes(name)[0], 3)
        layer.build([None, 9, 9, 1])
        for images, text in (
            (np.ones([1, 5, 5, 1], np.int32), "input is int32 and .*filter is float32"),
            (np.ones([1, 5, 5, 2], np.float32), "expected axis -1 of input shape to have value 1"),
            (np.ones([5, 5, 1], np.float32), "expected min_ndim=4"),
        ):
            with self.assertRaisesRegex(ValueError, text):
                layer(images)


class EveryCombinationTest(tf.test.TestCase, parameterized.TestCase):
    """Beside the definition."""

    _PADDINGS = ("same", "valid", ((2, 1), (0, 3)))
    # The pointwise convolution is stock's, which without oneDNN sums 16-bit types as they are.
    _BOUNDS = {"float64": 1e-12, "float32": 1e-5, "float16": 0.01, "bfloat16": 0.06}

    @parameterized.product(
        name=_NAMES,
        data_format=_LAYOUTS,
        strides_dilations=(((2, 2), (2, 2)), ((2, 3), (1, 1)), ((1, 1), (3, 2))),
        padding=_PADDINGS,
        dtype=("float64", "float16", "bfloat16"),
    )
    def test_is_the_definition(self, name, data_format, strides_dilations, padding, dtype):
        self._check(name, _images(data_format), data_format, *strides_dilations, padding, dtype)

    @parameterized.product(name=_NAMES, data_format=_LAYOUTS)
    def test_as_wide_as_there_are_channels(self, name, data_format):
        """Where Keras's layer adds the bias along the width."""
        images = _images(data_format, size=(6, 6 if name == "depthwise" else 4))
        self._check(name, images, data_format, (1, 1), (1, 1), "same", "float32")

    def _check(self, name, images, data_format, strides, dilations, padding, dtype):
        images = tf.cast(images, dtype)
        layer = _make(
            _classes(name)[0],
            (2, 3),
            strides,
            padding,
            data_format=data_format,
            dilation_rate=dilations,
            depth_multiplier=2,
            dtype=dtype,
        )
        symbolic = layer(keras.KerasTensor(images.shape, dtype))
        _set_weights(layer)
        result, upstream, gradients = _run(layer, images)
        self.assertEqual(symbolic.shape, result.shape)
        self.assertEqual(symbolic.dtype, result.dtype.name)

        *kernels, bias = (variable.value for variable in layer.variables)
        expected = self._expected(
            self._attributes(data_format, strides, dilations, padding),
            *(tf.cast(x, tf.float64).numpy() for x in (images, upstream, bias, *kernels)),
        )
        for got, wanted in zip([result, *gradients], expected, strict=True):
            self.assertEqual(got.dtype.name, dtype)
            bound = self._BOUNDS[dtype] * np.abs(wanted).max()
            self.assertAllClose(tf.cast(got, tf.float64), wanted, rtol=0, atol=bound)

    @staticmethod
    def _attributes(data_format, strides, dilations, padding):
        """The layer's, as the reference has them."""
        layout = "NHWC" if data_format == "channels_last" else "NCHW"

        def ordered(rows, columns, others):
            of = {"N": others, "H": rows, "W": columns, "C": others}
            return [of[dimension] for dimension in layout]

        attributes = {"strides": ordered(*strides, 1), "dilations": ordered(*dilations, 1)}
        if isinstance(padding, str):
            attributes["padding"] = padding.upper()
        else:
            attributes["padding"] = "EXPLICIT"
            attributes["explicit_paddings"] = np.ravel(ordered(*padding, (0, 0))).tolist()
        return attributes | {"data_format": layout}

    @staticmethod
    def _expected(attributes, images, upstream, bias, depthwise, pointwise=None):
        """The result and the gradients of a layer without activation."""
        inner = attributes["data_format"].replace("C", "I")
        outer = attributes["data_format"].replace("C", "O")
        result = between = reference.forward(images, depthwise, **attributes)
        bias_gradient = np.einsum(f"{outer}->O", upstream)
        pointwise_gradient = []
        if pointwise is not None:
            matrix = pointwise[0, 0]
            result = np.einsum(f"{inner},IO->{outer}", between, matrix)
            gradient = np.einsum(f"{inner},{outer}->IO", between, upstream)
            pointwise_gradient = [gradient.reshape(pointwise.shape)]
            upstream = np.einsum(f"{outer},IO->{inner}", upstream, matrix)
        return [
            result + (bias if outer.endswith("O") else bias[:, np.newaxis, np.newaxis]),
            reference.input_grad(images.shape, depthwise, upstream, **attributes),
            reference.filter_grad(images, depthwise.shape, upstream, **attributes),
            *pointwise_gradient,
            bias_gradient,
        ]

    @parameterized.product(name=_NAMES, data_format=_LAYOUTS, padding=_PADDINGS)
    def test_shapes_that_are_not_known(self, name, data_format, padding):
        images = _images(data_format)
        unknown = (0, 1 if data_format == "channels_last" else 2)
        shape = [None if axis in unknown else n for axis, n in enumerate(images.shape)]
        arguments = {"data_format": data_format, "dilation_rate": (2, 3)}
        layer = _make(_classes(name)[0], 3, (2, 1), padding, **arguments)
        result = layer(images)
        expected = [None if axis in unknown else n for axis, n in enumerate(result.shape)]
        self.assertEqual(list(layer(keras.Input(batch_shape=shape)).shape), expected)
        traced = tf.function(layer, input_signature=[tf.TensorSpec(shape)])
        self.assertEqual(traced.get_concrete_function().output_shapes.as_list(), expected)
        self.assertAllClose(traced(images), result)

    @parameterized.product(data_format=_LAYOUTS, padding=_PADDINGS)
    def test_one_op(self, data_format, padding):
        images = _images(data_format)
        arguments = {"data_format": data_format, "dilation_rate": 2}
        layer = tf_dwbp.keras.DepthwiseConv2D(3, 2, padding, **arguments)
        layer.build(images.shape)
        types = _op_types(layer, tf.TensorSpec([None, *images.shape[1:]]))
        self.assertEqual(types.count(_OP), 1)
        around = {"Placeholder", "ReadVariableOp", "BiasAdd", "Identity", "NoOp"}
        self.assertContainsSubset(types, {_OP, *around})

    @parameterized.product(
        name=_NAMES,
        padding=((1, 1), ((1, 2), (0, -1)), ((1, 2), (0, 1.5)), ((1, 2),), ((1, 2, 3), (1,)), []),
    )
    def test_padding_is_named(self, name, padding):
        layer = _make(_classes(name)[0], 3, padding=padding)
        with self.assertRaisesRegex(ValueError, "padding must be 'valid', 'same' or .*, but is "):
            layer(_images())


def _model(layers, data_format="channels_last", policy="float32"):
    """A classifier that has what layers may have; `layers` is tf_dwbp.keras or keras.layers."""
    arguments = {"data_format": data_format, "dtype": policy}
    l2 = keras.regularizers.L2(0.01)
    images = keras.Input(_images(data_format).shape[1:])
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
    images, labels = _images(data_format, batch=24), np.arange(24) % 4
    arguments = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}
    return model.fit(images, labels, **arguments).history["loss"]


class ModelsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        data_format=_LAYOUTS, policy=("float32", "mixed_float16", "mixed_bfloat16")
    )
    def test_trains_as_with_keras_layers(self, data_format, policy):
        losses = []
        # Keras's in NHWC, where all of Keras's can train.
        for layers, layout in ((tf_dwbp.keras, data_format), (keras.layers, "channels_last")):
            model = _model(layers, layout, policy)
            _set_weights(model)
            _compile(model)
            losses.append(_losses(model, layout))
        bound = {"float32": 1e-5, "mixed_float16": 2e-3, "mixed_bfloat16": 2e-2}[policy]
        self.assertAllClose(*losses, rtol=bound, atol=0)
        self.assertNotAllClose(losses[1][0], losses[1][-1], rtol=2 * bound, atol=0)

    def test_weights_files(self):
        models = {"ours": _model(tf_dwbp.keras), "stock": _model(keras.layers)}
        images = _images()
        path = f"{self.get_temp_dir()}/a.weights.h5"
        for saved, loaded in (("ours", "stock"), ("stock", "ours")):
            source, target = models[saved], models[loaded]
            source.set_weights([_random(*w.shape, seed=len(saved)) for w in source.get_weights()])
            source.save_weights(path)
            target.load_weights(path)
            for got, expected in zip(target.get_weights(), source.get_weights(), strict=True):
                self.assertAllEqual(got, expected)
            self.assertAllClose(target(images), source(images), rtol=1e-4, atol=1e-4)

    def test_files_in_another_process(self):
        folder = self.get_temp_dir()
        images = _images(size=(12, 12))
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
        self.assertEqual(_op_types(model, tf.TensorSpec(stock.input_shape)).count(_OP), 3)
        self.assertAllClose(model(_images()), stock(_images()), rtol=1e-4, atol=1e-5)


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
            each(_images())  # builds it
            _set_weights(each)
            _compile(each)
            _losses(each)
        parts = [*model.weights, *model.optimizer.variables, *model._flatten_layers()]
        self.assertIs(tf_dwbp.keras.convert(model), model)
        after = [*model.weights, *model.optimizer.variables, *model._flatten_layers()]
        self.assertEqual(list(map(id, after)), list(map(id, parts)))
        self.assertAllClose(_losses(model), _losses(stock), rtol=1e-4, atol=0)

    def test_every_layer_wherever_it_is(self):
        model = Subclassed()
        model(_images())
        spec = tf.TensorSpec(_images().shape)
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
            self.assertEqual(_op_types(model, spec).count(_STOCKS_OP), 1)  # the derived one's
            self.assertIs(tf_dwbp.keras.convert(model), model)  # once more
        self.assertIs(tf_dwbp.keras.revert(model), model)
        self.assertEqual(_types(model), before)
        self.assertNotIn(_OP, _op_types(model, spec))

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
        self.assertAllClose(loaded(_images()), model(_images()))
        self.assertIn("tf_dwbp", str(keras.saving.serialize_keras_object(model)))
        tf_dwbp.keras.revert(model)
        self.assertNotIn("tf_dwbp", str(keras.saving.serialize_keras_object(model)))

    def test_layer(self):
        images = _images()
        _, layer = _alike("separable", images.shape, 3)
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
