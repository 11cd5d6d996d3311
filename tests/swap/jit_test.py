"""Functions that XLA compiles hold stock's ops, whatever is installed, and run ours."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from swap_cases import FILTER, IMAGE, OURS, STOCK, SwapTestCase, all_three, random
from tf_dwbp import swap

pytestmark = pytest.mark.xla

_ONES = [1, 1, 1, 1]


def _called(function, *arguments):
    """Which of our ops are in XLA's program of a function."""
    program = function.experimental_get_compiler_ir(*arguments)(stage="hlo")
    return {op for op, name in OURS.items() if f'custom_call_target="{name}"' in program}


class JitTest(SwapTestCase):
    def test_what_is_traced_holds_stocks_ops(self):
        with swap.installed():
            step = tf.function(lambda: all_three(), jit_compile=True)
            step()
        ops = {op.type for op in step.get_concrete_function().graph.get_operations()}
        self.assertContainsSubset(STOCK.values(), ops)
        self.assertEmpty(ops & set(OURS.values()))

    @parameterized.parameters(False, True)
    def test_gradient_overrides_count(self, jit):
        calls = []

        def no_filter_gradient(op, grad):
            calls.append(op.type)
            input, filter = op.inputs  # noqa: A001
            sizes, attributes = tf.shape(input), {"strides": _ONES, "padding": "SAME"}
            return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=sizes, filter=filter, out_backprop=grad, **attributes
            ), tf.zeros_like(filter)

        name = f"NoFilterGradient{jit}"
        tf.RegisterGradient(name)(no_filter_gradient)

        def gradients(image, filter):  # noqa: A002
            graph = tf.compat.v1.get_default_graph()
            with graph.gradient_override_map({STOCK["forward"]: name}):
                output = tf.nn.depthwise_conv2d(image, filter, _ONES, "SAME")
            return tf.gradients(output, [image, filter])

        function = tf.function(gradients, jit_compile=jit)
        with swap.installed():
            image_gradient, filter_gradient = function(IMAGE, FILTER)
            if jit:
                self.assertNotIn("filter_grad", _called(function, IMAGE, FILTER))
        self.assertEqual(calls, [STOCK["forward"]])
        self.assertAllEqual(filter_gradient, tf.zeros_like(FILTER))
        expected = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=IMAGE.shape,
            filter=FILTER,
            out_backprop=tf.ones([2, 9, 8, 6]),
            strides=_ONES,
            padding="SAME",
        )
        self.assertAllClose(image_gradient, expected, rtol=1e-5, atol=1e-5)

    def test_traced_before_and_compiled_after_is_ours(self):
        step = tf.function(lambda: all_three(), jit_compile=True)
        step.get_concrete_function()
        self.assertEqual(swap.report(step).undecided, 3)
        with swap.installed():
            step()
            self.assertEqual(_called(step), set(swap.OPS))
        report = swap.report(step)
        self.assertEqual((report.ours, report.stock, report.undecided), (3, 0, 0), report)

    def test_compiled_again_after_uninstall_is_stocks_and_both_are_reported(self):
        function = tf.function(
            lambda image: tf.nn.depthwise_conv2d(image, FILTER, _ONES, "SAME"), jit_compile=True
        )
        with swap.installed():
            function(IMAGE)
        function(IMAGE[:1])
        report = swap.report(function)
        self.assertEqual((report.ours, report.stock, report.undecided), (1, 1, 0), report)
        self.assertIn("not installed", str(report))

    def test_inside_of_another_function_and_in_loops(self):
        @tf.function(jit_compile=True)
        def inner(image):
            for _ in tf.range(2):
                image = tf.nn.depthwise_conv2d(image, FILTER[..., :1], _ONES, "SAME")
            return image

        outer = tf.function(lambda image: inner(image) + 1.0)
        expected = inner.python_function(IMAGE) + 1.0
        with swap.installed():
            self.assertAllClose(outer(IMAGE), expected, rtol=1e-4, atol=1e-4)
        for function in (outer, inner):
            report = swap.report(function)
            self.assertEqual((report.ours, report.stock, report.undecided), (1, 0, 0), report)

    @parameterized.product(
        dtype=("half", "bfloat16", "float32", "float64"), padding=("SAME", "VALID")
    )
    def test_without_an_install_it_is_what_stock_makes(self, dtype, padding):
        # Of a grouped convolution XLA makes the same by a kernel that is stock's for certain.
        def step(image, filter):  # noqa: A002
            with tf.GradientTape() as tape:
                tape.watch([image, filter])
                output = tf.nn.depthwise_conv2d(image, filter, [1, 2, 2, 1], padding)
            return output, *tape.gradient(output, [image, filter])

        def grouped(image, filter):  # noqa: A002
            with tf.GradientTape() as tape:
                tape.watch([image, filter])
                output = tf.nn.conv2d(
                    image, tf.reshape(filter, [3, 3, 1, 6]), [1, 2, 2, 1], padding
                )
            return output, *tape.gradient(output, [image, filter])

        arguments = [tf.cast(tensor, dtype) for tensor in (IMAGE, FILTER)]
        found = tf.function(step, jit_compile=True)
        results = found(*arguments)
        self.assertEmpty(_called(found, *arguments))
        expected = tf.function(grouped, jit_compile=True)(*arguments)
        tolerance = {"half": 3e-2, "bfloat16": 2e-1}.get(dtype, 1e-4)
        for result, of_grouped in zip(results, expected, strict=True):
            self.assertAllClose(
                tf.cast(result, tf.float64), tf.cast(of_grouped, tf.float64), tolerance, tolerance
            )

    def test_a_keras_model_in_jit_is_reported_as_compiled(self):
        model = keras.Sequential(
            [keras.layers.Input([9, 8, 3]), keras.layers.DepthwiseConv2D(3, use_bias=False)]
        )
        model.compile("sgd", "mse", jit_compile=True)
        images = random(4, 9, 8, 3).numpy()
        with swap.installed():
            model.fit(images, np.zeros([4, 7, 6, 3], np.float32), verbose=0)
        report = swap.report(model)
        self.assertEqual((report.stock, report.undecided), (0, 0), report)
        self.assertGreaterEqual(report.ours, 2)
        self.assertEqual({entry.why for entry in report.entries}, {"compiled by XLA"})


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
