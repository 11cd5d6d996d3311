"""The op's registered gradient: right in every combination, for both tensor inputs."""

import itertools
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp import ops
from tf_dwbp.conformance import cases
from tf_dwbp.conformance.cases import Case, Shape

SMALL = Shape("small", 1, 4, 3, 1, 2, 2, 3)
OVERSIZED = Shape("oversized", 1, 2, 2, 2, 1, 3, 3)


def _function_of(case):
    """The op as a function of filter and out_backprop."""
    return lambda filter, out_backprop: ops.depthwise_conv2d_backprop_input(
        case.input_sizes, filter, out_backprop, **case.attributes
    )


def _gradients(case, filter, out_backprop, weights):
    filter, out_backprop = tf.constant(filter), tf.constant(out_backprop)
    with tf.GradientTape() as tape:
        tape.watch([filter, out_backprop])
        result = _function_of(case)(filter, out_backprop)
    return tape.gradient(result, [filter, out_backprop], tf.constant(weights, result.dtype))


class GradientsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*itertools.product(cases.LAYOUTS, cases.PADDINGS, (SMALL, OVERSIZED)))
    def test_against_finite_differences(self, layout, padding, shape):
        for stride, dilation in itertools.product(cases.STRIDES, cases.DILATIONS):
            case = Case("double", layout, padding, shape, stride, dilation)
            filter, out_backprop = case.inputs()
            if out_backprop.size == 0:
                continue  # nothing to differentiate: test_empty_outputs
            theoretical, numerical = tf.test.compute_gradient(
                _function_of(case), [filter, out_backprop], delta=0.5
            )
            # The op is linear in each input: differences over any step are exact.
            for ours, expected in zip(theoretical, numerical, strict=True):
                self.assertAllClose(ours, expected, rtol=0, atol=1e-12, msg=case.id)

    @parameterized.parameters(*itertools.product(("half", "bfloat16", "float"), cases.LAYOUTS))
    def test_narrow_types_are_rounded_once(self, dtype, layout):
        shape = Shape("narrow", 2, 9, 7, 3, 2, 3, 3)
        for padding, stride in itertools.product(cases.PADDINGS, cases.STRIDES):
            case = Case(dtype, layout, padding, shape, stride, (2, 1))
            filter, out_backprop = case.inputs()
            weights = np.random.default_rng(0).uniform(0.5, 2, case.input_sizes)
            weights = weights.astype(filter.dtype)
            narrow = _gradients(case, filter, out_backprop, weights)
            wide = _gradients(case, *(x.astype("f8") for x in (filter, out_backprop, weights)))
            magnitude = _gradients(
                case, *(np.abs(x.astype("f8")) for x in (filter, out_backprop, weights))
            )
            for ours, exact, total in zip(narrow, wide, magnitude, strict=True):
                self.assertEqual(ours.dtype, tf.as_dtype(dtype))
                # At most 200 products: summed in float, then rounded once.
                bound = 200 * 2.0**-24 * total + np.abs(exact) * (
                    np.finfo(np.float32).eps
                    if dtype == "float"
                    else {"half": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
                )
                error = np.abs(tf.cast(ours, tf.float64) - exact)
                self.assertAllLessEqual(error - bound, 0)

    def test_unknown_shapes(self):
        case = Case("double", "NCHW", "EXPLICIT", SMALL, (2, 1), (1, 2))
        filter, out_backprop = case.inputs()
        weights = np.random.default_rng(0).standard_normal(case.input_sizes)
        unknown = tf.TensorSpec(None, tf.float64)

        @tf.function(input_signature=[tf.TensorSpec(None, tf.int32), unknown, unknown, unknown])
        def gradients(sizes, filter, out_backprop, weights):
            result = ops.depthwise_conv2d_backprop_input(
                sizes, filter, out_backprop, **case.attributes
            )
            return tf.gradients(result, [filter, out_backprop], weights)

        traced = gradients(case.input_sizes, filter, out_backprop, weights)
        for ours, expected in zip(
            traced, _gradients(case, filter, out_backprop, weights), strict=True
        ):
            self.assertAllClose(ours, expected, rtol=1e-14)

    def test_second_order(self):
        case = Case("double", "NHWC", "SAME", SMALL, (2, 2), (1, 2))
        filter, out_backprop = case.inputs()
        out_backprop = tf.constant(out_backprop)

        def filter_gradient(filter, out_backprop):
            with tf.GradientTape() as tape:
                tape.watch(filter)
                result = _function_of(case)(filter, out_backprop)
                loss = tf.reduce_sum(result**3)
            return tape.gradient(loss, filter)

        theoretical, numerical = tf.test.compute_gradient(
            filter_gradient, [filter, out_backprop], delta=1e-4
        )
        for ours, expected in zip(theoretical, numerical, strict=True):
            self.assertAllClose(ours, expected, rtol=1e-5, atol=1e-4)

    @parameterized.parameters(
        Shape("no_multiplier", 2, 5, 5, 3, 0, 3, 3),
        Shape("no_batch", 0, 5, 5, 3, 1, 3, 3),
        Shape("no_output", 2, 2, 2, 3, 1, 5, 5),
    )
    def test_empty_outputs(self, shape):
        case = Case("float", "NHWC", "VALID", shape, (1, 1), (1, 1))
        filter, out_backprop = case.inputs()
        filter_grad, out_grad = _gradients(
            case, filter, out_backprop, np.ones(case.input_sizes, "f4")
        )
        self.assertAllEqual(filter_grad, np.zeros(filter.shape))
        self.assertAllEqual(out_grad, np.zeros(out_backprop.shape))

    def test_infinity_stays_with_the_pixels_that_it_met(self):
        case = Case("float", "NHWC", "SAME", Shape("", 1, 4, 4, 1, 1, 3, 3), (1, 1), (1, 1))
        filter, out_backprop = (np.ones(x.shape, "f4") for x in case.inputs())
        filter[0, 0] = np.inf
        _, out_grad = _gradients(case, filter, out_backprop, np.ones(case.input_sizes, "f4"))
        # Tap (0, 0) falls outside the image for the first row and column of the output.
        out_grad = out_grad[0, :, :, 0].numpy()
        self.assertAllEqual(np.isposinf(out_grad), np.pad(np.ones((3, 3), bool), ((1, 0), (1, 0))))
        self.assertFalse(np.isnan(out_grad).any())

    def test_input_sizes_have_no_gradient(self):
        case = Case("float", "NHWC", "SAME", SMALL, (1, 1), (1, 1))
        sizes = tf.constant(case.input_sizes)
        with tf.GradientTape() as tape:
            tape.watch(sizes)
            result = ops.depthwise_conv2d_backprop_input(sizes, *case.inputs(), **case.attributes)
        self.assertIsNone(tape.gradient(result, sizes))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
