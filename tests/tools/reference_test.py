"""The float64 reference against the forward definition, in plain Python, and by hand."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp.conformance import cases
from tf_dwbp.tools import reference


def _pairs(case):
    """Every (input, output, tap) that the forward definition connects: indices as it has them."""
    shape = case.shape
    rows, columns = _axes(case)
    for oy in range(rows[0]):
        for ox in range(columns[0]):
            for ky in range(shape.filter_height):
                for kx in range(shape.filter_width):
                    iy = oy * case.stride[0] + ky * case.dilation[0] - rows[1]
                    ix = ox * case.stride[1] + kx * case.dilation[1] - columns[1]
                    if 0 <= iy < shape.height and 0 <= ix < shape.width:
                        yield (iy, ix), (oy, ox), (ky, kx)


def _axes(case):
    """(outputs, padding before) of rows and columns, counted rather than computed."""
    shape = case.shape
    found = []
    for size, taps, stride, dilation, explicit in (
        (shape.height, shape.filter_height, case.stride[0], case.dilation[0], cases.EXPLICIT_ROWS),
        (shape.width, shape.filter_width, case.stride[1], case.dilation[1], cases.EXPLICIT_COLUMNS),
    ):
        reach = (taps - 1) * dilation
        if case.padding == "SAME":
            outputs = len(range(0, size, stride))
            before = max(0, (outputs - 1) * stride + reach + 1 - size) // 2
        else:
            before, after = explicit if case.padding == "EXPLICIT" else (0, 0)
            outputs = len(range(-before, size + after - reach, stride))
        found.append((outputs, before))
    return found


def _nhwc(case, role, array):
    """As NHWC; the output's channels as [channel, m]."""
    if role == "filter":
        return array
    array = array if case.layout == "NHWC" else array.transpose(0, 2, 3, 1)
    if role == "output":
        array = array.reshape(*array.shape[:3], case.shape.channels, case.shape.multiplier)
    return array


def _definition(case, result, tensors):
    """The role `result` from the two others, one product at a time, as `_nhwc` has it."""
    arrays = {role: _nhwc(case, role, array) for role, array in tensors.items()}
    found = arrays[result] = np.zeros(arrays[result].shape)
    for (iy, ix), (oy, ox), (ky, kx) in _pairs(case):
        for c, m in np.ndindex(case.shape.channels, case.shape.multiplier):
            image = arrays["input"][:, iy, ix, c]
            tap = arrays["filter"][ky, kx, c, m]
            output = arrays["output"][:, oy, ox, c, m]
            if result == "input":
                image += tap * output
            elif result == "filter":
                found[ky, kx, c, m] += np.dot(image, output)
            else:
                output += image * tap
    return found


# A prime step: meets every value of every axis in turn.
_SAMPLE = [(case.id, case) for case in cases.select(dtypes=["double"], orders=[0])[::29]]


class ReferenceTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(_SAMPLE)
    def test_is_the_definition(self, case):
        tensors = case.tensors()
        result = reference.RESULTS[case.op]
        actual = getattr(reference, case.op)(**case.arguments(tensors))
        self.assertEqual(actual.shape, case.shapes[result])
        expected = _definition(case, result, tensors)
        self.assertAllClose(_nhwc(case, result, actual), expected, rtol=1e-12, atol=1e-12)

    @parameterized.named_parameters(_SAMPLE)
    def test_counts_and_sums_products(self, case):
        tensors = case.tensors()
        result = reference.RESULTS[case.op]
        operands = {role: tensors[role] for role in reference.operands(case.op)}
        sizes = (case.input_sizes, case.filter_shape)
        counts = reference.product_counts(result, *sizes, **case.attributes)
        counts = np.broadcast_to(counts, case.shapes[result])
        ones = {role: np.ones(shape) for role, shape in case.shapes.items()}
        self.assertAllEqual(_nhwc(case, result, counts), _definition(case, result, ones))
        total = reference.absolute_products(result, operands, *sizes, **case.attributes)
        absolute = {role: np.abs(array) for role, array in tensors.items()}
        self.assertAllClose(
            _nhwc(case, result, total), _definition(case, result, absolute), rtol=1e-12
        )

    @parameterized.parameters(*reference.RESULTS)
    def test_derivatives_are_those_of_the_form(self, op):
        # The form is linear in each role, so that differences are derivatives, but for rounding.
        case = next(
            case
            for case in cases.select(["double"], ["NHWC"], ["SAME"], ops=[op], orders=[2])
            if case.shape.name == "plain"
        )
        sizes = (case.input_sizes, case.filter_shape)
        tensors, directions = case.tensors(), case.directions()

        def form(tensors):
            output = reference.member("output", tensors, *sizes, **case.attributes)
            return np.vdot(output, tensors["output"])

        first = reference.derivatives(op, 1)
        self.assertEqual([role for _, role in first], list(reference.operands(op)))
        second = reference.derivatives(op, 2)
        self.assertLen(set(second), 4)
        for varied, role in first + second:
            fed = tensors | ({varied: directions[varied]} if varied else {})
            gradient = reference.member(role, fed, *sizes, **case.attributes)
            moved = fed | {role: fed[role] + directions[role]}
            self.assertAllClose(np.vdot(gradient, directions[role]), form(moved) - form(fed))

    def test_by_hand_same(self):
        # out[0] = 2 in[0] + 3 in[1], out[1] = 2 in[2] + 3 in[3], out[2] = 2 in[4].
        gradient = reference.input_grad(
            [1, 1, 5, 1],
            np.reshape([2.0, 3.0], [1, 2, 1, 1]),
            np.reshape([1.0, 10.0, 100.0], [1, 1, 3, 1]),
            strides=[1, 1, 2, 1],
            padding="SAME",
        )
        self.assertAllEqual(gradient.ravel(), [2, 3, 20, 30, 200])

    def test_by_hand_the_others(self):
        # The same convolution, of 1, 2, 3, 4, 5.
        attributes = {"strides": [1, 1, 2, 1], "padding": "SAME"}
        image = np.reshape([1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 5, 1])
        output = reference.forward(image, np.reshape([2.0, 3.0], [1, 2, 1, 1]), **attributes)
        self.assertAllEqual(output.ravel(), [8, 18, 10])
        # Tap 0 meets 1, 3 and 5, tap 1 meets 2 and 4.
        out_backprop = np.reshape([1.0, 10.0, 100.0], [1, 1, 3, 1])
        gradient = reference.filter_grad(image, [1, 2, 1, 1], out_backprop, **attributes)
        self.assertAllEqual(gradient.ravel(), [531, 42])

    def test_by_hand_dilated_with_explicit_padding_and_multiplier(self):
        # out[o, m] = f[0, m] in[o - 1] + f[1, m] in[o + 1]
        gradient = reference.input_grad(
            [1, 1, 1, 3],
            np.reshape([2.0, 5.0, 3.0, 7.0], [1, 2, 1, 2]),
            np.reshape([1.0, 10.0, 100.0, 1000.0], [1, 2, 1, 2]),  # [m][o]
            strides=[1, 1, 1, 1],
            padding="EXPLICIT",
            explicit_paddings=[0, 0, 0, 0, 0, 0, 1, 0],
            data_format="NCHW",
            dilations=[1, 1, 1, 2],
        )
        # in[0]: tap 0 of out[1] (2 * 10 + 5 * 1000); in[1]: tap 1 of out[0] (3 * 1 + 7 * 100);
        # in[2]: tap 1 of out[1] (3 * 10 + 7 * 1000).
        self.assertAllEqual(gradient.ravel(), [5020, 703, 7030])

    @parameterized.parameters(
        # size, filter, stride, dilation, padding, explicit -> outputs, padding before
        (5, 3, 2, 1, "SAME", (0, 0), 3, 1),
        (5, 2, 1, 1, "SAME", (0, 0), 5, 0),
        (5, 3, 1, 2, "SAME", (0, 0), 5, 2),
        (5, 1, 3, 1, "SAME", (0, 0), 2, 0),
        (5, 3, 1, 2, "VALID", (0, 0), 1, 0),
        (5, 3, 1, 3, "VALID", (0, 0), 0, 0),
        (5, 7, 9, 1, "VALID", (0, 0), 0, 0),
        (5, 3, 1, 3, "EXPLICIT", (1, 2), 2, 1),
    )
    def test_sizes(self, size, filter, stride, dilation, padding, explicit, outputs, before):
        arguments = (size, filter, stride, dilation, padding, explicit)
        self.assertEqual(reference.output_size(*arguments), outputs)
        self.assertEqual(reference.pad_before(*arguments), before)

    @parameterized.parameters(np.inf, np.nan)
    def test_a_tap_outside_the_image_touches_nothing(self, value):
        filter = np.ones([3, 3, 1, 1])
        filter[0, 0] = value
        gradient = reference.input_grad(
            [1, 3, 3, 1], filter, np.ones([1, 3, 3, 1]), [1, 1, 1, 1], "SAME"
        )
        # Tap (0, 0) reads in[oy - 1, ox - 1]: only the last row and column never meet it.
        touched = ~np.isfinite(gradient[0, :, :, 0])
        self.assertAllEqual(touched, [[True, True, False]] * 2 + [[False] * 3])


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
