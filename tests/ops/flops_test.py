"""What `tf.compat.v1.profiler` counts for the ops, beside what it counts for stock's."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import ops as framework_ops

from tf_dwbp import ops

_X, _F = (2, 8, 9, 4), (3, 2, 4, 3)


def _profile(graph):
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return tf.compat.v1.profiler.profile(
        graph, run_meta=tf.compat.v1.RunMetadata(), cmd="op", options=options
    ).total_float_ops


def _flops(function, *arguments, **attributes):
    with tf.Graph().as_default() as graph:
        function(*arguments, **attributes)
    return _profile(graph)


class FlopsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ([1, 1, 1, 1], "SAME"), ([1, 2, 2, 1], "SAME"), ([1, 2, 2, 1], "VALID")
    )
    def test_are_stocks(self, strides, padding):
        x, f = np.ones(_X, np.float32), np.ones(_F, np.float32)
        attributes = {"input": x, "filter": f, "strides": strides, "padding": padding}
        stock = _flops(tf.raw_ops.DepthwiseConv2dNative, **attributes)
        self.assertGreater(stock, 0)
        self.assertEqual(_flops(ops.depthwise_conv2d, **attributes), stock)

    def test_gradients_take_what_the_forward_op_takes(self):
        x, f = np.ones(_X, np.float32), np.ones(_F, np.float32)
        last = ([1, 2, 2, 1], "SAME")
        y = ops.depthwise_conv2d(x, f, *last).numpy()
        forward = _flops(ops.depthwise_conv2d, x, f, *last)
        self.assertEqual(forward, 2 * 3 * 2 * y.size)
        self.assertEqual(_flops(ops.depthwise_conv2d_backprop_input, _X, f, y, *last), forward)
        self.assertEqual(_flops(ops.depthwise_conv2d_backprop_filter, x, _F, y, *last), forward)

    def test_shapes_that_are_not_known(self):
        with tf.Graph().as_default() as graph:
            x = tf.compat.v1.placeholder(tf.float32, [None, 8, 9, 4])
            y = ops.depthwise_conv2d(x, np.ones(_F, np.float32), [1] * 4, "SAME")
            self.assertEqual(_profile(graph), 0)
            with self.assertRaisesRegex(ValueError, "not fully defined"):
                framework_ops.get_stats_for_node_def(graph, y.op.node_def, "flops")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
