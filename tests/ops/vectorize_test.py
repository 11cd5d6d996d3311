"""`tf.vectorized_map` and jacobians: one op instead of a loop, with the loop's results."""

import itertools
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp import family, ops

_ATTRIBUTES = {"strides": [1, 2, 2, 1], "padding": "SAME"}
_INPUT, _FILTER, _OUTPUT = [2, 5, 6, 3], [3, 2, 3, 2], [2, 3, 3, 6]
_SIZES = {"NHWC": lambda sizes: sizes, "NCHW": lambda sizes: [sizes[i] for i in (0, 3, 1, 2)]}


def _call(op, layout):
    """The op as a function of its two tensors, and their shapes."""
    order = _SIZES[layout]
    attributes = {"padding": "SAME", "strides": order([1, 2, 2, 1]), "data_format": layout}
    image, output = order(_INPUT), order(_OUTPUT)
    if op == "forward":
        return lambda a, b: ops.depthwise_conv2d(a, b, **attributes), image, _FILTER
    if op == "input_grad":
        function = ops.depthwise_conv2d_backprop_input
        return lambda a, b: function(image, a, b, **attributes), _FILTER, output
    function = ops.depthwise_conv2d_backprop_filter
    return lambda a, b: function(a, _FILTER, b, **attributes), image, output


def _random(shape, length=None):
    return tf.random.stateless_normal(
        shape if length is None else [length, *shape], [7, len(shape)], dtype=tf.float64
    )


def _op_types(function, *arguments):
    graph = tf.function(function).get_concrete_function(*arguments).graph
    types = {operation.type for operation in graph.get_operations()}
    return types | {node.op for f in graph.as_graph_def().library.function for node in f.node_def}


_OPS = ("forward", "input_grad", "filter_grad")
_STACKED = ((True, False), (False, True), (True, True))


class VectorizeTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*itertools.product(_OPS, ("NHWC", "NCHW"), _STACKED, (0, 1, 4)))
    def test_is_the_loop(self, op, layout, stacked, length):
        function, *shapes = _call(op, layout)
        a, b = (
            _random(shape, length if is_stacked else None)
            for shape, is_stacked in zip(shapes, stacked, strict=True)
        )

        def vectorized(a, b):
            if all(stacked):
                return tf.vectorized_map(
                    lambda ab: function(*ab), (a, b), fallback_to_while_loop=False
                )
            if stacked[0]:
                return tf.vectorized_map(lambda a: function(a, b), a, fallback_to_while_loop=False)
            return tf.vectorized_map(lambda b: function(a, b), b, fallback_to_while_loop=False)

        actual = tf.function(vectorized)(a, b)
        one = function(*map(_random, shapes)).shape
        self.assertEqual(actual.shape, [length, *one])
        for i in range(length):
            expected = function(a[i] if stacked[0] else a, b[i] if stacked[1] else b)
            self.assertAllClose(actual[i], expected, rtol=1e-12, atol=1e-12)
        types = _op_types(vectorized, a, b)
        self.assertNotIn("While", types)
        self.assertNotIn("StatelessWhile", types)

    @parameterized.parameters(*itertools.product(_OPS, ("NHWC", "NCHW"), (0, 1)))
    def test_jacobian(self, op, layout, which):
        function, *shapes = _call(op, layout)
        tensors = [_random(shape) for shape in shapes]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            result = function(*tensors)
        jacobian = tape.jacobian(result, tensors[which])
        self.assertEqual(jacobian.shape, [*result.shape, *shapes[which]])
        # The ops are linear in each tensor: the jacobian applied to it is the result.
        rank = len(shapes[which])
        self.assertAllClose(tf.tensordot(jacobian, tensors[which], rank), result)
        self.assertAllClose(
            jacobian,
            tape.jacobian(result, tensors[which], experimental_use_pfor=False),
            rtol=1e-12,
            atol=1e-12,
        )

    @parameterized.parameters(
        *itertools.product(
            ("NHWC", "NCHW"),
            ("relu6", "gelu"),
            (flags for flags in itertools.product((True, False), repeat=3) if any(flags)),
        ),
        ("NHWC", "leaky_relu", (True, False, None)),
        ("NCHW", "elu", (False, True, None)),
    )
    def test_epilogues_are_the_loop(self, layout, activation, stacked):
        """`stacked` tells of image, filter and bias whether they differ; None is no bias."""
        order, length = _SIZES[layout], 3
        attributes = {
            "strides": order([1, 2, 2, 1]),
            "padding": "SAME",
            "data_format": layout,
            "activation": activation,
            "alpha": 0.3,
        }
        shapes = order(_INPUT), _FILTER, [6]
        tensors = [
            _random(shape, length if is_stacked else None)
            for shape, is_stacked in zip(shapes, stacked, strict=True)
            if is_stacked is not None
        ]

        def one(given):
            image, filter, bias = (*given, None)[:3]  # noqa: A001
            return ops.fused_depthwise_conv2d(image, filter, bias, **attributes)

        def at(i):
            flags = zip(tensors, stacked, strict=False)
            return one([tf.gather(t, i) if is_stacked else t for t, is_stacked in flags])

        def vectorized():
            return tf.vectorized_map(at, tf.range(length), fallback_to_while_loop=False)

        actual = tf.function(vectorized)()
        for i in range(length):
            self.assertAllClose(actual[i], at(i), rtol=1e-12, atol=1e-12)
        types = _op_types(vectorized)
        self.assertIn(family.OUR_FUSED, types)
        self.assertNoCommonElements(types, {"While", "StatelessWhile"})

    @parameterized.product(activation=("relu", "silu"), which=(0, 1, 2))
    def test_jacobian_of_an_epilogue(self, activation, which):
        tensors = [_random(shape) for shape in (_INPUT, _FILTER, [6])]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            result = ops.fused_depthwise_conv2d(*tensors, **_ATTRIBUTES, activation=activation)
        jacobian = tape.jacobian(result, tensors[which])
        self.assertAllClose(
            jacobian,
            tape.jacobian(result, tensors[which], experimental_use_pfor=False),
            rtol=1e-12,
            atol=1e-12,
        )

    def test_sizes_that_are_stacked(self):
        filters, output = _random(_FILTER), _random(_OUTPUT, 3)

        def one(arguments):
            sizes, upstream = arguments
            return ops.depthwise_conv2d_backprop_input(sizes, filters, upstream, **_ATTRIBUTES)

        def mapped(sizes):
            return tf.vectorized_map(one, (sizes, output), fallback_to_while_loop=False)

        actual = mapped(tf.constant([_INPUT] * 3))
        for i in range(3):
            self.assertAllClose(actual[i], one((tf.constant(_INPUT), output[i])))
        wider = [2, 5, 5, 3]  # has the same output
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "sizes must not differ"):
            mapped(tf.constant([_INPUT, wider, _INPUT]))

    def test_unknown_shapes(self):
        @tf.function(input_signature=[tf.TensorSpec(None, tf.float64)] * 2)
        def mapped(images, filters):
            images, filters = (
                tf.ensure_shape(images, [None] * 5),
                tf.ensure_shape(filters, [None] * 5),
            )
            return tf.vectorized_map(
                lambda pair: ops.depthwise_conv2d(*pair, **_ATTRIBUTES),
                (images, filters),
                fallback_to_while_loop=False,
            )

        images, filters = _random(_INPUT, 3), _random(_FILTER, 3)
        actual = mapped(images, filters)
        for i in range(3):
            expected = ops.depthwise_conv2d(images[i], filters[i], **_ATTRIBUTES)
            self.assertAllClose(actual[i], expected)

    def test_no_channels(self):
        images, filters = tf.zeros([3, 2, 5, 6, 0]), tf.zeros([3, 3, 2, 0, 2])
        actual = tf.vectorized_map(
            lambda pair: ops.depthwise_conv2d(*pair, **_ATTRIBUTES), (images, filters)
        )
        self.assertEqual(actual.shape, [3, 2, 3, 3, 0])
        self.assertEqual(np.size(actual), 0)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
