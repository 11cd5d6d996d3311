"""`install` and `uninstall`: from any thread, and nothing is left."""

import sys
import unittest.mock
import warnings

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.ops import gen_nn_ops

import at_once
from swap_cases import (
    ATTRIBUTES,
    FILTER,
    IMAGE,
    OURS,
    STOCK,
    WAYS,
    SwapTestCase,
    all_three,
    eagerly,
    keras_backend,
    names_of,
)
from tf_dwbp import swap
from tf_dwbp.swap import grouped


class InstallTest(SwapTestCase):
    def _ran(self):
        """Which forward op a new function and an eager call run."""

        def convolve():
            return tf.nn.depthwise_conv2d(IMAGE, FILTER, [1, 1, 1, 1], "SAME") * 2.0

        (graph,), (eager,) = (run(convolve) for run in WAYS.values())
        self.assertEqual(graph, eager)
        return graph

    def test_install_and_uninstall(self):
        swap.install()
        self.assertEqual(self._ran(), OURS["forward"])
        swap.uninstall()
        self.assertEqual(self._ran(), STOCK["forward"])

    def test_is_counted(self):
        swap.install()
        swap.install()
        with swap.installed(), swap.installed(("input_grad",)):
            swap.uninstall()
            self.assertEqual(self._ran(), OURS["forward"])
            swap.uninstall()
            self.assertEqual(self._ran(), OURS["forward"])
            with self.assertRaisesRegex(RuntimeError, "without an install"):
                swap.uninstall()
        self.assertEqual(self._ran(), STOCK["forward"])

    def test_what_any_asks_for_is_swapped(self):
        with swap.installed(("input_grad",)):
            self.assertEqual(self._ran(), STOCK["forward"])
            with swap.installed(("forward",)):
                self.assertEqual(eagerly(all_three), names_of("forward", "input_grad"))
            self.assertEqual(self._ran(), STOCK["forward"])

    def test_nothing_is_left_after_an_exception(self):
        with self.assertRaisesRegex(KeyError, "inside"), swap.installed():
            raise KeyError("inside")
        self.assertEqual(self._ran(), STOCK["forward"])

    def test_a_function_kept_from_meanwhile_is_stocks_again(self):
        with swap.installed():
            kept = tf.raw_ops.DepthwiseConv2dNative
        before = str(swap.report())
        ran = eagerly(lambda: kept(input=IMAGE, filter=FILTER, **ATTRIBUTES))
        self.assertEqual(ran, {STOCK["forward"]: 1})
        self.assertEqual(str(swap.report()), before)

    def test_who_patched_the_same_place_since_is_left_alone(self):
        keras_nn = keras_backend()
        original = keras_nn.conv
        with swap.installed():
            stand_in = keras_nn.conv
            self.assertIsNot(stand_in, original)

            def theirs(*args, **kwargs):
                return stand_in(*args, **kwargs)

            keras_nn.conv = theirs
        self.assertIs(keras_nn.conv, theirs)
        kernel = tf.reshape(FILTER, [3, 3, 1, 6])
        self.assertAllClose(keras_nn.conv(IMAGE, kernel), original(IMAGE, kernel))
        keras_nn.conv = original

    def test_a_keras_that_has_its_convolutions_elsewhere(self):
        with (
            unittest.mock.patch.object(grouped, "BACKENDS", ["keras.nowhere"]),
            self.assertWarnsRegex(UserWarning, "keras.* those with groups are left to stock"),
        ):
            swap.install()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            swap.uninstall()
            with swap.installed():
                pass

    def test_threads(self):
        stocks = all_three()

        def work():
            with swap.installed():
                results = all_three()
            for got, expected in zip(results, stocks, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)

        self.assertEqual(at_once.errors_of(work, times=20), [])
        self.assertEqual(self._ran(), STOCK["forward"])

    @parameterized.parameters((("backward",), "backward"), ((), r"\(\)"), ("input", "input"))
    def test_ops_must_be_the_familys(self, ops, value):
        with self.assertRaisesRegex(ValueError, f"ops must be some of forward.*but is.*{value}"):
            swap.install(ops)
        with self.assertRaisesRegex(ValueError, "ops must be some of"), swap.installed(ops):
            pass

    def test_bad_calls_are_refused_as_by_stock(self):
        for call in (
            lambda: tf.raw_ops.DepthwiseConv2dNative(IMAGE, FILTER),
            lambda: tf.raw_ops.DepthwiseConv2dNative(input=IMAGE, filters=FILTER),
            lambda: gen_nn_ops.depthwise_conv2d_native(IMAGE, FILTER),
        ):
            with self.assertRaises(TypeError) as expected:
                call()
            with self.assertRaises(TypeError) as found, swap.installed():
                call()
            self.assertEqual(str(found.exception), str(expected.exception))
        bad = {"strides": [1, 0, 0, 1], "padding": "SAME"}
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "strides"), swap.installed():
            tf.raw_ops.DepthwiseConv2dNative(input=IMAGE, filter=FILTER, **bad)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
