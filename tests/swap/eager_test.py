"""Eager calls: refused as by stock, and ours only where TensorFlow would execute stock's."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import op_callbacks

from swap_cases import ATTRIBUTES, FILTER, IMAGE, OURS, SwapTestCase, eagerly
from tf_dwbp import swap

_REMOTE = """
    import os, socket, subprocess, sys
    import tensorflow as tf, tf_dwbp
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = "127.0.0.1:%d" % free.getsockname()[1]
    serve = "import sys, tensorflow as tf; at = {'worker': [sys.argv[1]]}; "
    serve += "tf.distribute.Server(at, job_name='worker', task_index=0).join()"
    worker = subprocess.Popen([sys.executable, "-c", serve, at], stderr=subprocess.DEVNULL)
    try:
        tf_dwbp.swap.install()
        tf.config.experimental_connect_to_host(at, "worker")
        x, k = tf.ones([1, 5, 5, 2]), tf.ones([3, 3, 2, 1])
        def call(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.nn.depthwise_conv2d(x, k, [1, 1, 1, 1], "SAME")
            return tf.reduce_sum(y) + tf.reduce_sum(tape.gradient(y, x))
        with tf.device("/job:worker/task:0/device:CPU:0"):
            print("eager", float(call(x)))
            print("graph", float(tf.function(call)(x)))
        @tf.function
        def part_of(x):
            with tf.device("/job:worker/task:0/device:CPU:0"):
                return call(x)
        print("part", float(part_of(x)))
        print("here", float(call(x)))
        print(tf_dwbp.swap.report(), flush=True)
    finally:
        worker.kill()
        os._exit(0)
"""


def _without_names(error):
    """The text, but for what the op is called that was executed, and how that is defined."""
    text = re.sub(r"(TfDwbp>|_MklNative)(?=Depthwise)", "", str(error))
    return re.sub(r"; NodeDef: .*", "", text, flags=re.DOTALL)


class EagerTest(SwapTestCase):
    def test_in_another_process(self):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_REMOTE)], capture_output=True, encoding="utf-8"
        )
        for where in ("eager", "graph", "part", "here"):
            self.assertIn(f"{where} 676.0", done.stdout, done.stderr[-3000:])
        self.assertRegex(done.stdout, r"stock +forward +1  in eager calls: in another process")
        self.assertRegex(done.stdout, r"ours +forward +1  in eager calls: called in stock's place")

    @parameterized.parameters(
        lambda: tf.nn.depthwise_conv2d(IMAGE, tf.cast(FILTER, tf.float64), [1] * 4, "SAME"),
        lambda: tf.nn.depthwise_conv2d(IMAGE.numpy(), FILTER, [1] * 4, "NONE"),
        lambda: tf.raw_ops.DepthwiseConv2dNative(input=None, filter=FILTER, **ATTRIBUTES),
        lambda: tf.raw_ops.DepthwiseConv2dNative(input=IMAGE, filter=None, **ATTRIBUTES),
        lambda: tf.raw_ops.DepthwiseConv2dNative(input="a", filter=FILTER, **ATTRIBUTES),
        lambda: tf.raw_ops.DepthwiseConv2dNative(IMAGE, FILTER),
        lambda: tf.raw_ops.DepthwiseConv2dNative(input=IMAGE, filters=FILTER),
        lambda: tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=[1.5], filter=FILTER, out_backprop=IMAGE, **ATTRIBUTES
        ),
        lambda: tf.raw_ops.DepthwiseConv2dNative(
            input=tf.cast(IMAGE, tf.int32), filter=tf.cast(FILTER, tf.int32), **ATTRIBUTES
        ),
    )
    def test_arguments_are_refused_as_by_stock(self, call):
        errors = []
        for ops in ((), swap.OPS):
            try:
                if ops:
                    with swap.installed(ops):
                        call()
                else:
                    call()
            except Exception as error:
                errors.append(error)
        first, second = errors
        self.assertIs(type(second), type(first))
        texts = [_without_names(error) for error in errors]
        self.assertEqual(texts[1], texts[0])
        self.assertLess(len(texts[1]), 400)  # of values there are none

    def test_names_that_were_bound_before(self):
        bound = tf.raw_ops.DepthwiseConv2dNative
        with swap.installed():
            ran = eagerly(lambda: bound(input=IMAGE, filter=FILTER, **ATTRIBUTES))
        self.assertEqual(ran, {OURS["forward"]: 1})

    def test_callbacks_see_stocks_op(self):
        seen = []

        def callback(op_type, inputs, attrs, outputs, op_name=None, graph=None):
            seen.append(tf.compat.as_str(op_type))

        with swap.installed():
            op_callbacks.add_op_callback(callback)
            try:
                tf.nn.depthwise_conv2d(IMAGE, FILTER, [1] * 4, "SAME")
            finally:
                op_callbacks.remove_op_callback(callback)
        self.assertIn("DepthwiseConv2dNative", seen)
        self.assertNotIn(OURS["forward"], seen)

    def test_the_next_call_after_uninstall_is_stocks(self):
        # Stock adds in another order, so that the bits tell who did. In 16-bit types oneDNN, on
        # some processors, comes to the same bits as we do.
        image, filter = tf.cast(IMAGE, tf.double), tf.cast(FILTER, tf.double)  # noqa: A001

        def bits():
            return tf.nn.depthwise_conv2d(image, filter, [1] * 4, "SAME").numpy().tobytes()

        stocks = bits()
        for _ in range(2):
            with swap.installed():
                self.assertNotEqual(bits(), stocks)
            self.assertEqual(bits(), stocks)

    def test_the_package_imported_again(self):
        program = """
            import sys, tensorflow as tf, tf_dwbp
            first = tf_dwbp.swap
            first.install()
            def again():
                for name in [n for n in sys.modules if n.startswith("tf_dwbp.swap")]:
                    del sys.modules[name]
                del tf_dwbp.swap
                import importlib
                return importlib.import_module("tf_dwbp.swap")
            second = again()
            assert second is not first
            x, k = tf.ones([1, 4, 4, 1]), tf.ones([2, 2, 1, 1])
            def call(jit):
                def convolve():
                    return tf.nn.depthwise_conv2d(x, k, [1] * 4, "SAME") * 2.0
                f = tf.function(convolve, jit_compile=jit)
                f()
                return f
            with second.installed(("forward",)):
                assert second.report(call(False)).ours == 1
            tf.nn.depthwise_conv2d(x, k, [1] * 4, "SAME")
            second.uninstall()
            assert second.report(call(False)).stock == 1
            assert first.report().ours == second.report().ours == 2, str(second.report())
            try:
                first.uninstall()
            except RuntimeError as error:
                print("refused:", error)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, encoding="utf-8"
        )
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        self.assertIn("refused: tf_dwbp.swap.uninstall() was called without", done.stdout)

    def test_threads_that_call_while_others_install(self):
        expected = tf.nn.depthwise_conv2d(IMAGE, FILTER, [1] * 4, "SAME").numpy()

        def call(index):
            if index % 2:
                with swap.installed():
                    return tf.nn.depthwise_conv2d(IMAGE, FILTER, [1] * 4, "SAME").numpy()
            return tf.nn.depthwise_conv2d(IMAGE, FILTER, [1] * 4, "SAME").numpy()

        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(call, range(40)):
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
