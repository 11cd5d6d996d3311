"""`tf_dwbp.nn` beside `tf.nn` where that is right, and beside the definition everywhere else."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import oracle
import tf_dwbp
from tf_dwbp import nn


def _random(*shape, dtype=np.float32):
    return np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape).astype(dtype)


_IMAGE, _FILTER, _POINTWISE = (2, 9, 8, 3), (3, 2, 3, 2), (1, 1, 6, 5)


class DepthwiseTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ([1, 1, 1, 1], "SAME", None, None),
        ([1, 2, 2, 1], "SAME", None, None),
        ([1, 2, 2, 1], "VALID", "NHWC", [1, 1]),
        ([1, 1, 1, 1], "SAME", None, [2, 3]),
        ([1, 1, 1, 1], "VALID", "NHWC", [3, 2]),
        ([1, 1, 1, 1], [[0, 0], [1, 2], [3, 0], [0, 0]], None, None),
        ((1, 2, 2, 1), ((0, 0), (0, 3), (1, 1), (0, 0)), "NHWC", (1, 1)),
    )
    def test_is_stocks(self, strides, padding, data_format, dilations):
        image, filter = tf.constant(_random(*_IMAGE)), tf.constant(_random(*_FILTER))
        arguments = (strides, padding, data_format, dilations)
        results = []
        for function in (nn.depthwise_conv2d, tf.nn.depthwise_conv2d):
            with tf.GradientTape() as tape:
                tape.watch([image, filter])
                result = function(image, filter, *arguments)
                loss = tf.reduce_sum(result**2)
            results.append((result, *tape.gradient(loss, [image, filter])))
        for ours, stock in zip(*results, strict=True):
            self.assertEqual(ours.shape, stock.shape)
            self.assertAllClose(ours, stock, rtol=1e-4, atol=1e-4)

    @parameterized.product(
        data_format=("NHWC", "NCHW"),
        strides=((1, 1), (2, 2), (2, 3)),
        dilations=((1, 1), (2, 1), (3, 3)),
        paddings=(("SAME", "SAME"), ("VALID", "VALID"), ((2, 1), (0, 3))),
        dtype=(tf.float64, tf.bfloat16),
    )
    def test_is_the_definition(self, data_format, strides, dilations, paddings, dtype):
        image, filter = tf.cast(_random(*_IMAGE), dtype), tf.cast(_random(*_FILTER), dtype)
        expected = oracle.forward(
            tf.cast(image, tf.float64), tf.cast(filter, tf.float64), strides, paddings, dilations
        )
        padding = paddings[0] if isinstance(paddings[0], str) else [(0, 0), *paddings, (0, 0)]
        strides = [1, *strides, 1]
        if data_format == "NCHW":
            image, strides = oracle.nchw(image), [strides[i] for i in (0, 3, 1, 2)]
            if not isinstance(padding, str):
                padding = [padding[i] for i in (0, 3, 1, 2)]
        result = nn.depthwise_conv2d(image, filter, strides, padding, data_format, dilations)
        if data_format == "NCHW":
            result = oracle.nhwc(result)
        self.assertEqual(result.dtype, dtype)
        bound = 1e-12 if dtype == tf.float64 else 0.05
        self.assertAllClose(tf.cast(result, tf.float64), expected, rtol=bound, atol=bound)

    def test_one_op_whatever_the_dilations(self):
        @tf.function
        def function(image, filter):
            return nn.depthwise_conv2d(image, filter, [1, 2, 2, 1], "SAME", dilations=[2, 2])

        graph = function.get_concrete_function(_random(*_IMAGE), _random(*_FILTER)).graph
        types = [op.type for op in graph.get_operations()]
        self.assertEqual(types.count("TfDwbp>DepthwiseConv2dNative"), 1)
        self.assertContainsSubset(
            types, ["Placeholder", "TfDwbp>DepthwiseConv2dNative", "Identity"]
        )

    @parameterized.parameters(2, [[2]], (np.int64(2),))
    def test_one_dilation_is_of_rows_and_columns(self, dilations):
        arguments = (_random(*_IMAGE), _random(*_FILTER), [1] * 4, "SAME", None)
        dilations = dilations[0] if isinstance(dilations, list) else dilations
        expected = nn.depthwise_conv2d(*arguments, [2, 2])
        self.assertAllEqual(nn.depthwise_conv2d(*arguments, dilations), expected)

    def test_what_converts_to_tensors(self):
        expected = nn.depthwise_conv2d(_random(*_IMAGE), _random(*_FILTER), [1] * 4, "SAME")
        variable = tf.Variable(_random(*_FILTER))
        for image, filter in (
            (_random(*_IMAGE).tolist(), variable),
            (tf.constant(_random(*_IMAGE)), _random(*_FILTER).tolist()),
        ):
            self.assertAllEqual(nn.depthwise_conv2d(image, filter, [1] * 4, "SAME"), expected)

    def test_unknown_shapes(self):
        @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)])
        def function(image, filter):
            return nn.depthwise_conv2d(image, filter, [1, 2, 2, 1], "SAME", name="layer")

        image, filter = _random(*_IMAGE), _random(*_FILTER)
        expected = oracle.forward(image, filter, (2, 2))
        self.assertAllClose(function(image, filter), expected, rtol=1e-5, atol=1e-5)

    @parameterized.parameters(
        ({"strides": [1, 2, 1]}, "strides must be 4 ints"),
        ({"strides": 2}, "strides must be 4 ints"),
        ({"strides": [1, 1.5, 1, 1]}, "strides must be 4 ints"),
        ({"strides": [1, 0, 1, 1]}, "strides"),
        ({"padding": "FULL"}, "padding must be SAME, VALID or 4 pairs of ints, but is 'FULL'"),
        ({"padding": 3}, "padding must be SAME, VALID or 4 pairs"),
        ({"padding": [[0, 0], [1, 1]]}, "padding must be SAME, VALID or 4 pairs"),
        ({"padding": [[0, 0], [1, 0.5], [0, 0], [0, 0]]}, "padding must be 8 ints"),
        ({"padding": [[0, 0], [-1, 0], [0, 0], [0, 0]]}, "explicit_paddings"),
        ({"data_format": "CHWN"}, "data_format must be NHWC, NCHW or None, but is 'CHWN'"),
        ({"dilations": [1, 2, 3]}, "dilations must be 2 ints"),
        ({"dilations": [0, 1]}, "dilations"),
        ({"filter": np.ones(_FILTER)}, "input is float32 and filter is float64"),
        ({"filter": np.ones((3, 2, 4, 2), np.float32)}, "filter"),
    )
    def test_errors(self, wrong, text):
        arguments = {"filter": _random(*_FILTER), "strides": [1] * 4, "padding": "SAME"} | wrong
        with self.assertRaisesRegex((ValueError, tf.errors.InvalidArgumentError), text):
            nn.depthwise_conv2d(_random(*_IMAGE), **arguments)


class SeparableTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        strides=(1, 2), dilations=(None, [2, 2]), data_format=(None, "NCHW"), known=(True, False)
    )
    def test_is_the_two_one_after_the_other(self, strides, dilations, data_format, known):
        image, depthwise, pointwise = (_random(*shape) for shape in (_IMAGE, _FILTER, _POINTWISE))
        between = oracle.forward(image, depthwise, (strides,) * 2, dilations=dilations or (1, 1))
        expected = between @ pointwise[0, 0]
        order = [1, strides, strides, 1] if data_format is None else [1, 1, strides, strides]

        def call(image, depthwise, pointwise):
            return nn.separable_conv2d(
                image, depthwise, pointwise, order, "SAME", data_format, dilations
            )

        if not known:
            call = tf.function(call, input_signature=[tf.TensorSpec([None] * 4)] * 3)
        result = call(oracle.nchw(image) if data_format else image, depthwise, pointwise)
        if data_format:
            result = oracle.nhwc(result)
        self.assertAllClose(result, expected, rtol=1e-4, atol=1e-4)

    @parameterized.parameters(([1, 1, 1, 1], None), ([1, 2, 2, 1], None), ([1, 1, 1, 1], [2, 2]))
    def test_is_stocks(self, strides, dilations):
        tensors = [tf.constant(_random(*shape)) for shape in (_IMAGE, _FILTER, _POINTWISE)]
        results = []
        for function in (nn.separable_conv2d, tf.nn.separable_conv2d):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                result = function(*tensors, strides, "SAME", None, dilations)
            results.append((result, *tape.gradient(result, tensors)))
        for ours, stock in zip(*results, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-4, atol=1e-4)

    @parameterized.product(
        shape=((0, 9, 8, 3), (2, 2, 8, 3), (2, 9, 1, 3)), data_format=("NHWC", "NCHW")
    )
    def test_no_pixels(self, shape, data_format):
        image = tf.zeros(shape)
        tensors = [
            image if data_format == "NHWC" else oracle.nchw(image),
            *(tf.constant(_random(*s)) for s in (_FILTER, _POINTWISE)),
        ]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            result = nn.separable_conv2d(*tensors, [1] * 4, "VALID", data_format)
        gradients = tape.gradient(result, tensors)
        if data_format == "NCHW":
            result = oracle.nhwc(result)
        batch, rows, columns, _ = shape
        self.assertEqual(result.shape, [batch, rows - 2, columns - 1, 5])
        for gradient, tensor in zip(gradients, tensors, strict=True):
            self.assertAllEqual(gradient, tf.zeros_like(tensor))

    def test_shapes_while_tracing(self):
        @tf.function
        def function(image):
            return nn.separable_conv2d(
                image, _random(*_FILTER), _random(*_POINTWISE), [1] * 4, "SAME", "NCHW"
            )

        traced = function.get_concrete_function(tf.TensorSpec([None, 3, 9, None]))
        self.assertEqual(traced.output_shapes.as_list(), [None, 5, 9, None])

    @parameterized.parameters(
        ((3, 3, 6, 5), r"pointwise_filter must be \[1, 1, .*\(3, 3, 6, 5\)"),
        ((1, 1, 3, 5), r"pointwise_filter must have .* 3 \* 2 = 6 .*\(1, 1, 3, 5\)"),
    )
    def test_errors(self, shape, text):
        with self.assertRaisesRegex(ValueError, text):
            nn.separable_conv2d(
                _random(*_IMAGE), _random(*_FILTER), _random(*shape), [1] * 4, "SAME"
            )

    def test_types_are_named(self):
        with self.assertRaisesRegex(ValueError, "pointwise_filter is float64"):
            tf_dwbp.nn.separable_conv2d(
                _random(*_IMAGE), _random(*_FILTER), np.ones(_POINTWISE), [1] * 4, "SAME"
            )


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
