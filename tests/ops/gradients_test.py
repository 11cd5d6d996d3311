"""The registered gradients of all ops: right in every combination, and of every order."""

import itertools
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp.conformance import cases
from tf_dwbp.conformance.cases import Case, Shape
from tf_dwbp.tools import reference, targets

SMALL = Shape("small", 1, 4, 3, 1, 2, 2, 3)
OVERSIZED = Shape("oversized", 1, 2, 2, 2, 1, 3, 3)

_FUNCTIONS = targets.load(targets.OURS)


def _case(op, *values):
    return Case(*values, op=op)


def _function_of(case):
    """The op as a function of its two tensors."""
    roles = reference.operands(case.op)
    return lambda *tensors: _FUNCTIONS[case.op](
        **case.arguments(dict(zip(roles, tensors, strict=True)))
    )


def _gradients(case, tensors, weights):
    tensors = [*map(tf.constant, tensors)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        result = _function_of(case)(*tensors)
    return tape.gradient(result, tensors, tf.constant(weights, result.dtype))


def _weights(case):
    """Numbers for each element of the result."""
    return case.tensors()[reference.RESULTS[case.op]]


class GradientsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        op=cases.OPS, layout=cases.LAYOUTS, padding=cases.PADDINGS, shape=(SMALL, OVERSIZED)
    )
    def test_against_differences(self, op, layout, padding, shape):
        for stride, dilation in itertools.product(cases.STRIDES, cases.DILATIONS):
            case = _case(op, "double", layout, padding, shape, stride, dilation)
            tensors = case.inputs()
            if 0 in (tensors[0].size, tensors[1].size, _weights(case).size):
                continue  # nothing to differentiate: test_empty_outputs
            theoretical, numerical = tf.test.compute_gradient(
                _function_of(case), tensors, delta=0.5
            )
            # The ops are linear in each tensor: differences over any step are exact.
            for ours, expected in zip(theoretical, numerical, strict=True):
                self.assertAllClose(ours, expected, rtol=0, atol=1e-12, msg=case.id)

    @parameterized.product(
        op=cases.OPS, layout=cases.LAYOUTS, padding=cases.PADDINGS, shape=(SMALL, OVERSIZED)
    )
    def test_second_order_against_differences(self, op, layout, padding, shape):
        for stride, dilation in itertools.product(((1, 1), (2, 1), (2, 3)), ((1, 1), (2, 1))):
            case = _case(op, "double", layout, padding, shape, stride, dilation)
            tensors, weights = case.inputs(), _weights(case)
            if 0 in (tensors[0].size, tensors[1].size, weights.size):
                continue

            def loss_gradients(*tensors, case=case, weights=weights):
                with tf.GradientTape() as tape:
                    tape.watch(tensors)
                    loss = tf.reduce_sum(_function_of(case)(*tensors) * weights)
                gradients = tape.gradient(loss, tensors)
                return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)

            theoretical, numerical = tf.test.compute_gradient(loss_gradients, tensors, delta=0.5)
            # Bilinear: the gradient for one tensor is linear in the other.
            for ours, expected in zip(theoretical, numerical, strict=True):
                self.assertAllClose(ours, expected, rtol=0, atol=1e-12, msg=case.id)

    @parameterized.product(op=cases.OPS, dtype=("half", "bfloat16", "float"), layout=cases.LAYOUTS)
    def test_narrow_types_are_rounded_once(self, op, dtype, layout):
        shape = Shape("narrow", 2, 9, 7, 3, 2, 3, 3)
        for padding, stride in itertools.product(cases.PADDINGS, cases.STRIDES):
            case = _case(op, dtype, layout, padding, shape, stride, (2, 1))
            tensors, weights = case.inputs(), _weights(case)
            exact = [x.astype("f8") for x in (*tensors, weights)]
            narrow = _gradients(case, tensors, weights)
            wide = _gradients(case, exact[:2], exact[2])
            magnitude = _gradients(case, *((*map(np.abs, exact[:2]),), np.abs(exact[2])))
            for ours, right, total in zip(narrow, wide, magnitude, strict=True):
                self.assertEqual(ours.dtype, tf.as_dtype(dtype))
                # At most 200 products: summed in float, then rounded once.
                bound = 200 * 2.0**-24 * total + np.abs(right) * (
                    np.finfo(np.float32).eps
                    if dtype == "float"
                    else {"half": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
                )
                error = np.abs(tf.cast(ours, tf.float64) - right)
                self.assertAllLessEqual(error - bound, 0)

    @parameterized.parameters(*cases.OPS)
    def test_unknown_shapes(self, op):
        case = _case(op, "double", "NCHW", "EXPLICIT", SMALL, (2, 1), (1, 2))
        tensors, weights = case.inputs(), _weights(case)
        unknown = tf.TensorSpec(None, tf.float64)

        @tf.function(input_signature=[unknown] * 3)
        def gradients(first, second, weights):
            return tf.gradients(_function_of(case)(first, second), [first, second], weights)

        expected = _gradients(case, tensors, weights)
        for ours, right in zip(gradients(*tensors, weights), expected, strict=True):
            self.assertAllClose(ours, right, rtol=1e-14)

    @parameterized.parameters(*cases.OPS)
    def test_third_order(self, op):
        case = _case(op, "double", "NHWC", "SAME", SMALL, (2, 2), (1, 2))
        first, second = map(tf.constant, case.inputs())

        def cubes(second):
            """The gradient of sum(op ** 3 / 3) for the first tensor."""
            with tf.GradientTape() as tape:
                tape.watch(first)
                loss = tf.reduce_sum(_function_of(case)(first, second) ** 3) / 3
            return tape.gradient(loss, first)

        def squares(second):
            with tf.GradientTape() as tape:
                tape.watch(second)
                found = tf.reduce_sum(cubes(second) ** 2)
            return tape.gradient(found, second)

        theoretical, numerical = tf.test.compute_gradient(squares, [second], delta=1e-5)
        scale = np.max(np.abs(numerical[0]))
        self.assertAllClose(theoretical[0] / scale, numerical[0] / scale, rtol=1e-5, atol=1e-5)

    @parameterized.product(op=cases.OPS, layout=cases.LAYOUTS)
    def test_forward_over_reverse(self, op, layout):
        case = _case(op, "double", layout, "SAME", SMALL, (2, 1), (1, 1))
        tensors = [*map(tf.constant, case.inputs())]
        directions = [tf.constant(case.directions()[role]) for role in reference.operands(op)]

        def gradients(tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                loss = tf.reduce_sum(_function_of(case)(*tensors) ** 2)
            return tape.gradient(loss, tensors)

        with tf.autodiff.ForwardAccumulator(tensors, directions) as accumulator:
            products = [accumulator.jvp(gradient) for gradient in gradients(tensors)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors)
            along = sum(
                tf.reduce_sum(gradient * direction)
                for gradient, direction in zip(gradients(tensors), directions, strict=True)
            )
        for ours, expected in zip(products, tape.gradient(along, tensors), strict=True):
            self.assertAllClose(ours, expected, rtol=1e-10)

    @parameterized.parameters(*cases.OPS)
    def test_gradients_stay_in_the_family(self, op):
        case = _case(op, "float", "NHWC", "SAME", SMALL, (1, 1), (1, 1))

        @tf.function
        def second(*tensors):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(tensors)
                with tf.GradientTape() as inner:
                    inner.watch(tensors)
                    loss = tf.reduce_sum(_function_of(case)(*tensors) ** 2)
                gradients = inner.gradient(loss, tensors)
            return [outer.gradient(gradient, tensors) for gradient in gradients]

        graph = second.get_concrete_function(*map(tf.constant, case.inputs())).graph
        types = {o.type for o in graph.get_operations() if "epthwise" in o.type}
        self.assertLen(types, 3)
        self.assertTrue(all(name.startswith("TfDwbp>") for name in types), types)

    @parameterized.product(
        op=cases.OPS,
        shape=(
            Shape("no_multiplier", 2, 5, 5, 3, 0, 3, 3),
            Shape("no_batch", 0, 5, 5, 3, 1, 3, 3),
            Shape("no_output", 2, 2, 2, 3, 1, 5, 5),
        ),
    )
    def test_empty_outputs(self, op, shape):
        case = _case(op, "float", "NHWC", "VALID", shape, (1, 1), (1, 1))
        tensors = case.inputs()
        for tensor, gradient in zip(
            tensors, _gradients(case, tensors, _weights(case)), strict=True
        ):
            self.assertAllEqual(gradient, np.zeros(tensor.shape))

    def test_infinity_stays_with_the_pixels_that_it_met(self):
        shape = Shape("", 1, 4, 4, 1, 1, 3, 3)
        case = _case("input_grad", "float", "NHWC", "SAME", shape, (1, 1), (1, 1))
        filter, out_backprop = (np.ones(x.shape, "f4") for x in case.inputs())
        filter[0, 0] = np.inf
        _, out_grad = _gradients(case, (filter, out_backprop), np.ones(case.input_sizes, "f4"))
        # Tap (0, 0) falls outside the image for the first row and column of the output.
        out_grad = out_grad[0, :, :, 0].numpy()
        self.assertAllEqual(np.isposinf(out_grad), np.pad(np.ones((3, 3), bool), ((1, 0), (1, 0))))
        self.assertFalse(np.isnan(out_grad).any())

    @parameterized.parameters("input_grad", "filter_grad")
    def test_sizes_have_no_gradient(self, op):
        case = _case(op, "float", "NHWC", "SAME", SMALL, (1, 1), (1, 1))
        arguments = case.arguments()
        (name,) = (name for name in arguments if name.endswith("_sizes"))
        sizes = arguments[name] = tf.constant(arguments[name])
        with tf.GradientTape() as tape:
            tape.watch(sizes)
            result = _FUNCTIONS[op](**arguments)
        self.assertIsNone(tape.gradient(result, sizes))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
