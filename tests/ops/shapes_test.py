"""What the shape function infers and refuses while a function is traced."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp import ops


def _traced_shape(sizes, filter, out_backprop, **attributes):
    """The static shape of the result for these shapes (None: unknown) and value of sizes."""
    attributes = {"strides": [1, 1, 1, 1], "padding": "SAME"} | attributes
    seen = []

    def call(filter, out_backprop, *sizes_as_input):
        result = ops.depthwise_conv2d_backprop_input(
            sizes_as_input[0] if sizes_as_input else sizes, filter, out_backprop, **attributes
        )
        seen.append(result.shape)

    signature = [tf.TensorSpec(filter, tf.float32), tf.TensorSpec(out_backprop, tf.float32)]
    if isinstance(sizes, tf.TensorSpec):
        signature.append(sizes)
    tf.function(call).get_concrete_function(*signature)
    return seen[0].as_list() if seen[0].rank is not None else None


def _traced_op(function, *arguments, **attributes):
    """The static shape of a result; arguments are shapes of floats, or sizes as NumPy arrays."""
    attributes = {"strides": [1, 1, 1, 1], "padding": "SAME"} | attributes
    seen = []

    def call(*tensors):
        tensors = iter(tensors)
        filled = [a if isinstance(a, np.ndarray) else next(tensors) for a in arguments]
        seen.append(function(*filled, **attributes).shape)

    specs = [tf.TensorSpec(a, tf.float32) for a in arguments if not isinstance(a, np.ndarray)]
    tf.function(call).get_concrete_function(*specs)
    return seen[0].as_list() if seen[0].rank is not None else None


def _sizes(*sizes):
    return np.array(sizes, np.int32)


class OtherOpsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ([2, 5, 6, 3], [3, 3, 3, 2], {}, [2, 5, 6, 6]),
        ([None, 5, None, 3], [3, 3, None, 2], {}, [None, 5, None, 6]),
        ([2, 5, 6, None], [3, 3, 4, 2], {"strides": [1, 2, 2, 1]}, [2, 3, 3, 8]),
        ([2, 5, 6, 3], None, {"padding": "VALID"}, [2, None, None, None]),
        (None, [3, 3, 4, 2], {}, [None, None, None, 8]),
        (None, None, {}, [None] * 4),
        ([2, 3, None, 6], [3, 2, 3, 1], {"data_format": "NCHW"}, [2, 3, None, 6]),
        ([2, 9, 9, 3], [3, 3, 3, 1], {"padding": "VALID", "dilations": [1, 2, 3, 1]}, [2, 5, 3, 3]),
    )
    def test_forward(self, image, filter, attributes, expected):
        shape = _traced_op(ops.depthwise_conv2d, image, filter, **attributes)
        self.assertEqual(shape, expected)

    @parameterized.parameters(
        ([2, 5, 6, 3], [2, 5, 6, 6]), ([None] * 4, None), (None, None), (None, [2, 5, None, 6])
    )
    def test_filter_grad(self, image, out):
        function = ops.depthwise_conv2d_backprop_filter
        self.assertEqual(_traced_op(function, image, _sizes(3, 3, 3, 2), out), [3, 3, 3, 2])

    @parameterized.parameters(
        ([2, 5, 6], None, {}, "input must have 4 dimensions"),
        (None, [3, 3, 3], {}, "filter must have 4 dimensions"),
        ([2, 5, 6, 3], [3, 3, 4, 1], {}, "channels"),
        ([2, 5, 6, 3], [0, 3, 3, 1], {}, "height between 1 and"),
    )
    def test_forward_contradictions(self, image, filter, attributes, message):
        with self.assertRaisesRegex(ValueError, message):
            _traced_op(ops.depthwise_conv2d, image, filter, **attributes)

    @parameterized.parameters(
        (None, _sizes(3, 3, 3), None, "filter_sizes must have 4"),
        (None, _sizes(3, 3, 3, -1), None, "filter_sizes must not be negative"),
        ([2, 5, 6], _sizes(3, 3, 3, 1), None, "input must have 4 dimensions"),
        ([2, 5, 6, 4], _sizes(3, 3, 3, 1), None, "channels"),
        ([2, 5, 6, 3], _sizes(3, 3, 3, 2), [2, 5, 6, 3], "out_backprop .* must have 6 channels"),
        ([2, 5, 6, 3], _sizes(3, 3, 3, 2), [3, 5, 6, 6], "batch size"),
        ([2, 5, 6, 3], _sizes(3, 3, 3, 2), [2, 4, 6, 6], "must have a height of 5, but has 4"),
    )
    def test_filter_grad_contradictions(self, image, sizes, out, message):
        with self.assertRaisesRegex(ValueError, message):
            _traced_op(ops.depthwise_conv2d_backprop_filter, image, sizes, out)


class ShapesTest(tf.test.TestCase, parameterized.TestCase):
    def test_constant_sizes(self):
        shape = _traced_shape([2, 5, 6, 3], [3, 3, 3, 1], [2, 5, 6, 3])
        self.assertEqual(shape, [2, 5, 6, 3])

    def test_constant_sizes_with_all_else_unknown(self):
        self.assertEqual(_traced_shape([2, 5, 6, 3], None, None), [2, 5, 6, 3])

    @parameterized.parameters(
        ("NHWC", [7, None, None, 8], [7, None, None, 4]),
        ("NCHW", [7, 8, None, None], [7, 4, None, None]),
    )
    def test_unknown_sizes_take_batch_and_channels_from_the_others(self, layout, out, expected):
        for sizes in (tf.TensorSpec([4], tf.int32), tf.TensorSpec(None, tf.int32)):
            shape = _traced_shape(sizes, [3, 3, 4, 2], out, data_format=layout)
            self.assertEqual(shape, expected)

    def test_sizes_in_part(self):
        seen = []

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 9, None, 3], tf.float32),
                tf.TensorSpec([3, 3, 3, 1], tf.float32),
                tf.TensorSpec(None, tf.float32),
            ]
        )
        def call(image, filter, out_backprop):
            result = ops.depthwise_conv2d_backprop_input(
                tf.shape(image), filter, out_backprop, [1, 1, 1, 1], "SAME"
            )
            seen.append(result.shape.as_list())

        call.get_concrete_function()
        self.assertEqual(seen, [[None, 9, None, 3]])

    @parameterized.parameters(
        # sizes, filter, out_backprop, attributes, what the message names
        ([2, 5, 6], None, None, {}, "input_sizes must have 4"),
        ([2, 5, 6, -3], None, None, {}, "input_sizes must not be negative"),
        (tf.TensorSpec([3], tf.int32), None, None, {}, "input_sizes must have 4"),
        (tf.TensorSpec([2, 2], tf.int32), None, None, {}, "input_sizes must be a vector"),
        ([2, 5, 6, 3], [3, 3, 3], None, {}, "filter must have 4 dimensions"),
        ([2, 5, 6, 3], None, [2, 5, 6], {}, "out_backprop must have 4 dimensions"),
        ([2, 5, 6, 3], [3, 3, 4, 1], None, {}, "3 channels, but filter"),
        ([2, 5, 6, 3], [0, 3, 3, 1], None, {}, "height between 1 and"),
        ([2, 5, 6, 3], None, [3, None, None, None], {}, "batch size"),
        ([2, 5, 6, 3], None, [None, 4, None, None], {}, "must have a height of 5, but has 4"),
        ([2, 5, 6, 3], [3, 3, None, 2], [None, None, None, 5], {}, "must have 6 channels"),
        (
            [2, 5, 6, 3],
            [3, 4, None, None],
            [None, None, 4, None],
            {"padding": "VALID"},
            "width of 3",
        ),
        ([2, 3, 5, 6], None, [2, None, 5, 7], {"data_format": "NCHW"}, "width of 6"),
    )
    def test_contradictions_are_found_while_tracing(self, sizes, filter, out, attributes, message):
        with self.assertRaisesRegex(ValueError, message):
            _traced_shape(sizes, filter, out, **attributes)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
