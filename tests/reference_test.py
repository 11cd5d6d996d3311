"""The float64 reference against the forward definition, in plain Python, and by hand."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp.conformance import cases, reference


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


def _nhwc(case, array):
    return array if case.layout == "NHWC" else array.transpose(0, 2, 3, 1)


def _forward(case, image, filter):
    """The forward convolution, NHWC, one product at a time."""
    (rows, _), (columns, _) = _axes(case)
    shape = case.shape
    out = np.zeros((shape.batch, rows, columns, shape.channels * shape.multiplier))
    for (iy, ix), (oy, ox), (ky, kx) in _pairs(case):
        for c in range(shape.channels):
            for m in range(shape.multiplier):
                out[:, oy, ox, c * shape.multiplier + m] += (
                    image[:, iy, ix, c] * filter[ky, kx, c, m]
                )
    return out


def _transpose(case, filter, out_backprop):
    """The input gradient, NHWC, one product at a time."""
    shape = case.shape
    gradient = np.zeros((shape.batch, shape.height, shape.width, shape.channels))
    for (iy, ix), (oy, ox), (ky, kx) in _pairs(case):
        for c in range(shape.channels):
            for m in range(shape.multiplier):
                products = filter[ky, kx, c, m] * out_backprop[:, oy, ox, c * shape.multiplier + m]
                gradient[:, iy, ix, c] += products
    return gradient


# A prime step: meets every value of every axis in turn.
_SAMPLE = [(case.id, case) for case in cases.select(dtypes=["double"])[::29]]


class ReferenceTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(_SAMPLE)
    def test_is_the_transpose_of_the_forward_definition(self, case):
        filter, out_backprop = case.inputs()
        actual = reference.input_grad(case.input_sizes, filter, out_backprop, **case.attributes)
        expected = _transpose(case, filter, _nhwc(case, out_backprop))
        self.assertEqual(actual.shape, case.input_sizes)
        self.assertAllClose(_nhwc(case, actual), expected, rtol=1e-13, atol=1e-13)

    @parameterized.named_parameters(_SAMPLE)
    def test_is_adjoint_to_the_forward_convolution(self, case):
        filter, out_backprop = case.inputs()
        shape = case.shape
        image = np.random.default_rng(0).normal(
            size=(shape.batch, shape.height, shape.width, shape.channels)
        )
        gradient = reference.input_grad(case.input_sizes, filter, out_backprop, **case.attributes)
        self.assertAllClose(
            np.vdot(_forward(case, image, filter), _nhwc(case, out_backprop)),
            np.vdot(image, _nhwc(case, gradient)),
        )

    @parameterized.named_parameters(_SAMPLE)
    def test_counts_and_sums_products(self, case):
        filter, out_backprop = case.inputs()
        arguments = (case.input_sizes, filter, out_backprop)
        counts = reference.product_counts(*arguments, **case.attributes)
        expected = np.zeros_like(_nhwc(case, counts))
        for (iy, ix), _, _ in _pairs(case):
            expected[:, iy, ix] += case.shape.multiplier
        self.assertAllEqual(_nhwc(case, counts), expected)
        total = reference.absolute_products(*arguments, **case.attributes)
        self.assertAllClose(
            _nhwc(case, total), _transpose(case, abs(filter), _nhwc(case, abs(out_backprop)))
        )

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
