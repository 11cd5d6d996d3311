"""`tf_dwbp.keras` beside Keras's own layers where these are right, and the definition elsewhere."""

import inspect
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import keras_layers as kl
import tf_dwbp.keras
from tf_dwbp.tools import reference


class LikeKerasTest(tf.test.TestCase, parameterized.TestCase):
    """Beside Keras's layer."""

    def assert_alike(self, ours, stock, images, rtol=1e-4):
        results = []
        for layer in (ours, stock):
            result, _, gradients = kl.run(layer, images)
            results.append([result, *gradients])
        for got, expected in zip(*results, strict=True):
            self.assertEqual((got.shape, got.dtype), (expected.shape, expected.dtype))
            got, expected = tf.cast(got, tf.float32), tf.cast(expected, tf.float32).numpy()
            self.assertAllClose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())

    @parameterized.parameters(*kl.NAMES)
    def test_constructors(self, name):
        ours, stock = kl.classes(name)
        self.assertEqual(inspect.signature(ours), inspect.signature(stock))

    @parameterized.product(
        name=kl.NAMES,
        given=({"strides": (2, 3)}, {"dilation_rate": 2}, {"dilation_rate": [3, 1]}),
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
        ours, stock = (kl.make(cls, **arguments) for cls in kl.classes(name))
        self.assertEqual(ours.get_config(), stock.get_config())
        made = (ours.from_config(stock.get_config()), stock.from_config(ours.get_config()))
        for layer, cls in zip(made, kl.classes(name), strict=True):
            self.assertIs(type(layer), cls)
            self.assertEqual(layer.get_config(), stock.get_config())

    @parameterized.parameters(*kl.NAMES)
    def test_names_and_first_weights(self, name):
        found = []
        for cls in kl.classes(name):
            keras.backend.clear_session()
            keras.utils.set_random_seed(7)
            layers = [kl.make(cls, 3, dilation_rate=2) for _ in range(2)]
            for layer in layers:
                layer.build([None, 9, 9, 2])
            found.append([(layer.name, layer.get_weights()) for layer in layers])
        for (our_name, ours), (stocks_name, stocks) in zip(*found, strict=True):
            self.assertEqual(our_name, stocks_name)
            for got, expected in zip(ours, stocks, strict=True):
                self.assertAllEqual(got, expected)

    @parameterized.product(
        name=kl.NAMES,
        strides_dilations=((1, 1), (2, 1), (1, 2), (1, (3, 2))),
        padding=("valid", "same"),
        others=(
            {"depth_multiplier": 2, "activation": "tanh"},
            {"use_bias": False},
        ),
    )
    def test_results_and_gradients(self, name, strides_dilations, padding, others):
        strides, dilations = strides_dilations
        images = kl.images()
        arguments = others | {"dilation_rate": dilations}
        layers = kl.alike(name, images.shape, (3, 2), strides, padding, **arguments)
        self.assert_alike(*layers, images)

    @parameterized.product(name=kl.NAMES, policy=("mixed_float16", "mixed_bfloat16"))
    def test_mixed_precision(self, name, policy):
        images = kl.images()
        ours, stock = kl.alike(name, images.shape, 3, 2, "same", dtype=policy)
        self.assert_alike(ours, stock, images, rtol=0.01 if policy == "mixed_float16" else 0.06)
        self.assertEqual(ours(images).dtype.name, policy.removeprefix("mixed_"))
        self.assertEqual({variable.dtype for variable in ours.variables}, {"float32"})

    @parameterized.product(
        name=kl.NAMES,
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
        for cls in kl.classes(name):
            with self.assertRaises(ValueError) as caught:
                kl.make(cls, **{"kernel_size": 3} | wrong)
            texts.append(str(caught.exception))
        self.assertEqual(texts[0], texts[1])

    @parameterized.product(name=kl.NAMES, data_format=kl.LAYOUTS)
    def test_refuses_shapes_in_the_words_of_keras(self, name, data_format):
        shape = kl.images(data_format).shape
        texts = []
        for cls in kl.classes(name):
            with self.assertRaises(ValueError) as caught:
                kl.make(cls, 3, dilation_rate=9, data_format=data_format).compute_output_shape(
                    shape
                )
            texts.append(str(caught.exception))
        self.assertEqual(texts[0], texts[1])
        padding = ((4, 4), (0, 0))  # enough for the rows
        layer = kl.make(
            kl.classes(name)[0], 3, 1, padding, dilation_rate=8, data_format=data_format
        )
        with self.assertRaisesRegex(ValueError, "Computed output size would be"):
            layer.compute_output_shape(shape)

    @parameterized.parameters(*kl.NAMES)
    def test_refuses_images(self, name):
        layer = kl.make(kl.classes(name)[0], 3)
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
        name=kl.NAMES,
        data_format=kl.LAYOUTS,
        strides_dilations=(((2, 2), (2, 2)), ((2, 3), (1, 1)), ((1, 1), (3, 2))),
        padding=_PADDINGS,
        dtype=("float64", "float16", "bfloat16"),
    )
    def test_is_the_definition(self, name, data_format, strides_dilations, padding, dtype):
        self._check(name, kl.images(data_format), data_format, *strides_dilations, padding, dtype)

    @parameterized.product(name=kl.NAMES, data_format=kl.LAYOUTS)
    def test_as_wide_as_there_are_channels(self, name, data_format):
        """Where Keras's layer adds the bias along the width."""
        images = kl.images(data_format, size=(6, 6 if name == "depthwise" else 4))
        self._check(name, images, data_format, (1, 1), (1, 1), "same", "float32")

    def _check(self, name, images, data_format, strides, dilations, padding, dtype):
        images = tf.cast(images, dtype)
        layer = kl.make(
            kl.classes(name)[0],
            (2, 3),
            strides,
            padding,
            data_format=data_format,
            dilation_rate=dilations,
            depth_multiplier=2,
            dtype=dtype,
        )
        symbolic = layer(keras.KerasTensor(images.shape, dtype))
        kl.set_weights(layer)
        result, upstream, gradients = kl.run(layer, images)
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

    @parameterized.product(name=kl.NAMES, data_format=kl.LAYOUTS, padding=_PADDINGS)
    def test_shapes_that_are_not_known(self, name, data_format, padding):
        images = kl.images(data_format)
        unknown = (0, 1 if data_format == "channels_last" else 2)
        shape = [None if axis in unknown else n for axis, n in enumerate(images.shape)]
        arguments = {"data_format": data_format, "dilation_rate": (2, 3)}
        layer = kl.make(kl.classes(name)[0], 3, (2, 1), padding, **arguments)
        result = layer(images)
        expected = [None if axis in unknown else n for axis, n in enumerate(result.shape)]
        self.assertEqual(list(layer(keras.Input(batch_shape=shape)).shape), expected)
        traced = tf.function(layer, input_signature=[tf.TensorSpec(shape)])
        self.assertEqual(traced.get_concrete_function().output_shapes.as_list(), expected)
        self.assertAllClose(traced(images), result)

    @parameterized.product(data_format=kl.LAYOUTS, padding=_PADDINGS)
    def test_one_op(self, data_format, padding):
        images = kl.images(data_format)
        arguments = {"data_format": data_format, "dilation_rate": 2}
        layer = tf_dwbp.keras.DepthwiseConv2D(3, 2, padding, **arguments)
        layer.build(images.shape)
        types = kl.op_types(layer, tf.TensorSpec([None, *images.shape[1:]]))
        self.assertEqual(types.count(kl.OP), 1)
        around = {"Placeholder", "ReadVariableOp", "BiasAdd", "Identity", "NoOp"}
        self.assertContainsSubset(types, {kl.OP, *around})

    @parameterized.product(
        name=kl.NAMES,
        padding=((1, 1), ((1, 2), (0, -1)), ((1, 2), (0, 1.5)), ((1, 2),), ((1, 2, 3), (1,)), []),
    )
    def test_padding_is_named(self, name, padding):
        layer = kl.make(kl.classes(name)[0], 3, padding=padding)
        with self.assertRaisesRegex(ValueError, "padding must be 'valid', 'same' or .*, but is "):
            layer(kl.images())


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
