"""Under XLA: `jit_compile=True`, with control flow, and what XLA makes of the call."""

import functools
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
from tf_dwbp import ops
from tf_dwbp.conformance import cases, runner
from tf_dwbp.conformance.cases import Case, Shape
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import targets

pytestmark = pytest.mark.xla

CASE = Case("float", "NHWC", "SAME", Shape("xla", 4, 9, 8, 5, 2, 3, 3), (2, 1), (1, 2))
IMAGE, FILTER, OUTPUT = map(tf.constant, CASE.tensors().values())
SIZES = {"input_sizes": IMAGE.shape.as_list(), "filter_sizes": FILTER.shape.as_list()}
jit = functools.partial(tf.function, jit_compile=True)


def forward(image=IMAGE, filter=FILTER):  # noqa: A002
    return ops.depthwise_conv2d(image, filter, **CASE.attributes)


def input_grad(filter=FILTER, output=OUTPUT, sizes=SIZES["input_sizes"]):  # noqa: A002
    return ops.depthwise_conv2d_backprop_input(sizes, filter, output, **CASE.attributes)


def filter_grad(image=IMAGE, output=OUTPUT, sizes=SIZES["filter_sizes"]):
    return ops.depthwise_conv2d_backprop_filter(image, sizes, output, **CASE.attributes)


OPS = {
    "forward": (forward, (IMAGE, FILTER)),
    "input_grad": (input_grad, (FILTER, OUTPUT)),
    "filter_grad": (filter_grad, (IMAGE, OUTPUT)),
}


def _run(program, **environment):
    """What a program prints in a process of its own."""
    path = pathlib.Path(tf_dwbp.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | {"PYTHONPATH": str(path)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class ConformanceTest(tf.test.TestCase, parameterized.TestCase):
    """Every pair of the matrix's values; `tf-dwbp conformance` runs all of it."""

    def test_right_with_the_bits_of_the_plain_op(self):
        selected = cases.select(quick=True, orders=[0])
        selected += cases.select(["bfloat16"], quick=True, orders=[1, 2])
        run = runner.run(selected, stock=False, executions=(targets.EAGER, targets.JIT))
        self.assertEqual(run.judged, ["ours eager", "ours jit"])
        self.assertEqual(run.counts("ours jit"), {Verdict.AGREES: len(selected)})
        self.assertEmpty([(cell.case.id, *map(str, cell.failures)) for cell in run.failing])


class XlaTest(tf.test.TestCase, parameterized.TestCase):
    def _assert_same(self, function, *arguments):
        """Under jit the function does what it does eagerly, to the bit."""
        expected = tf.nest.flatten(function(*arguments))
        for ours, theirs in zip(tf.nest.flatten(jit(function)(*arguments)), expected, strict=True):
            self.assertEqual(ours.dtype, theirs.dtype)
            self.assertAllEqual(ours, theirs)
            self.assertGreater(np.abs(theirs).max(), 0)

    @parameterized.parameters(*OPS)
    def test_xla_calls_our_kernel(self, op):
        function, tensors = OPS[op]
        compiled = jit(lambda first, second: function(first, second))
        text = compiled.experimental_get_compiler_ir(*tensors)(stage="optimized_hlo")
        self.assertEqual(text.count('custom_call_target="TfDwbp>'), 1, text)
        # With tensors in the order that the kernel reads them in, not one that XLA likes better.
        first, second = (f"f32{str([*x.shape]).replace(' ', '')}{{3,2,1,0}}" for x in tensors)
        self.assertIn(f"operand_layout_constraints={{{first}, {second}}}", text)
        self.assertNotIn("convolution", text)

    @parameterized.parameters(*OPS)
    def test_while_loop(self, op):
        function, tensors = OPS[op]

        def loop(first, second):
            return tf.while_loop(
                lambda i, *_: i < 3,
                lambda i, total, first: (i + 1, total + function(first, second), 2 * first),
                (0, tf.zeros_like(function(first, second)), first),
            )[1]

        self._assert_same(loop, *tensors)

    @parameterized.parameters(*OPS)
    def test_cond(self, op):
        function, tensors = OPS[op]

        def either(choice, first, second):
            return tf.cond(
                choice, lambda: function(first, second), lambda: function(first + 1, second)
            )

        for choice in (True, False):
            self._assert_same(either, tf.constant(choice), *tensors)

    @parameterized.product(op=list(OPS), mapped=((0,), (1,), (0, 1)))
    def test_vectorized_map(self, op, mapped):
        function, tensors = OPS[op]
        stacked = [
            tf.stack([tensor, 2 * tensor, tensor - 1]) if i in mapped else tensor
            for i, tensor in enumerate(tensors)
        ]

        def loop(*stacked):
            def iteration(elements):
                given = dict(enumerate(stacked)) | dict(zip(mapped, elements, strict=True))
                return function(*given.values())

            elements = tuple(stacked[i] for i in mapped)
            return tf.vectorized_map(iteration, elements, fallback_to_while_loop=False)

        self._assert_same(loop, *stacked)

    @parameterized.parameters(*OPS)
    def test_jacobian(self, op):
        function, tensors = OPS[op]

        def jacobian(first, second):
            with tf.GradientTape() as tape:
                tape.watch(second)
                sums = tf.stack([*map(tf.reduce_max, tf.unstack(function(first, second)))])
            return tape.jacobian(sums, second)

        self._assert_same(jacobian, *tensors)

    def test_a_training_step(self):
        """Gradients of a model around the op, beside those outside jit."""

        def gradients(image, filter, weights):  # noqa: A002
            with tf.GradientTape() as tape:
                tape.watch([filter, weights])
                hidden = tf.nn.relu(forward(image, filter))
                loss = tf.reduce_mean(tf.matmul(hidden, weights) ** 2)
            return tape.gradient(loss, [filter, weights])

        weights = tf.constant(np.random.default_rng(0).standard_normal([10, 3], np.float32))
        expected = gradients(IMAGE, FILTER, weights)
        for ours, theirs in zip(jit(gradients)(IMAGE, FILTER, weights), expected, strict=True):
            self.assertAllClose(ours, theirs, rtol=1e-5, atol=1e-5)

    @parameterized.parameters(*OPS)
    def test_layouts_that_xla_chooses(self, op):
        """XLA can make a transpose free by choosing the order of dimensions in memory."""
        function, tensors = OPS[op]

        def swapped(tensor):
            return tf.transpose(tensor, [3, 1, 0, 2])

        def back(tensor):
            return tf.transpose(tensor, [2, 1, 3, 0])

        def around(first, second):
            return 2 * swapped(function(back(first + 1), back(second - 1)))

        self._assert_same(around, *map(swapped, tensors))

    def test_denormals_are_kept(self):
        self._assert_same(forward, tf.constant(IMAGE.numpy() * np.float32(2.0**-130)), FILTER)

    def test_sizes_from_shapes_and_as_values(self):
        self._assert_same(lambda image: input_grad(sizes=tf.shape(image)), IMAGE)
        self._assert_same(lambda filter: filter_grad(sizes=tf.shape(filter)), FILTER)
        fed = jit(lambda sizes, output: input_grad(output=output, sizes=sizes))
        # Under SAME with these strides 9 and 10 rows lead to 5.
        for height in (9, 10):
            sizes = tf.constant([4, height, 8, 5])
            expected = input_grad(sizes=sizes)
            self.assertAllEqual(fed(sizes, OUTPUT), expected)

    def test_shapes_that_only_data_decide_are_refused(self):
        masked = jit(lambda image, mask: forward(tf.boolean_mask(image, mask)))
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError,
            r"input must have a shape that XLA knows when it compiles, but has f32\[<=4,9,8,5\]",
        ):
            masked(IMAGE, tf.constant([True, False, True, True]))

    def test_errors_reach_python_as_they_are(self):
        unknown = tf.TensorSpec(None)
        function = tf.function(forward, [unknown, unknown], jit_compile=True)
        with self.assertRaises(tf.errors.InvalidArgumentError) as under_jit:
            function(IMAGE, FILTER[:, :, 1:])
        with self.assertRaises(tf.errors.InvalidArgumentError) as plain:
            forward(IMAGE, FILTER[:, :, 1:])
        text = "input [4, 9, 8, 5] has 5 channels, but filter [3, 3, 4, 2] must have as many"
        self.assertStartsWith(plain.exception.message.partition("} ")[2], text)
        self.assertStartsWith(under_jit.exception.message, text)

    @pytest.mark.slow
    def test_results_past_2_31_elements(self):
        height, width, channels, stride = 46400, 725, 64, 400
        output = tf.ones([1, 116, 2, channels], tf.half)
        result = jit(ops.depthwise_conv2d_backprop_input)(
            input_sizes=[1, height, width, channels],
            filter=tf.ones([1, 1, channels, 1], tf.half),
            out_backprop=output,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )
        self.assertGreater(tf.size(result, tf.int64), 2**31)
        self.assertEqual(np.count_nonzero(result[0, :, ::stride]), 116 * 2 * channels)
        self.assertAllEqual(result[0, ::stride, ::stride], output[0])


class ProcessTest(tf.test.TestCase):
    """What depends on the process: when the package is imported, and its threads."""

    def test_imported_after_xla_has_begun(self):
        """XLA asks for kernels once; later ones have to make themselves known."""
        printed = _run(
            """
            import tensorflow as tf
            jit = tf.function(jit_compile=True)
            assert jit(lambda x: tf.nn.relu(x))(tf.ones([2])).shape == [2]
            from tf_dwbp import ops
            step = {"strides": [1, 1, 1, 1], "padding": "VALID"}
            ones = tf.ones([1, 3, 3, 1])
            taps = jit(lambda x: ops.depthwise_conv2d(x, ones[0, ..., None], **step))(ones)
            print("sum", int(tf.squeeze(taps)))
            sizes = tf.constant([1, 3, 3, 1])
            result = jit(
                lambda s: ops.depthwise_conv2d_backprop_input(s, ones[0, ..., None], taps, **step)
            )(sizes)
            print("sums", int(tf.reduce_sum(result)))
            """
        )
        self.assertIn("sum 9\n", printed)
        self.assertIn("sums 81\n", printed)

    def test_threads(self):
        """A call works on several threads, and many calls at once on a small pool all end."""
        printed = _run(
            """
            import concurrent.futures, os, pathlib
            import numpy as np, tensorflow as tf
            from tf_dwbp import ops

            tf.config.threading.set_intra_op_parallelism_threads(2)
            tf.config.threading.set_inter_op_parallelism_threads(2)
            image, taps = tf.random.normal([8, 64, 64, 64]), tf.random.normal([3, 3, 64, 2])
            call = lambda x: ops.depthwise_conv2d(x, taps, [1, 1, 1, 1], "SAME")
            under_jit = tf.function(call, jit_compile=True)
            expected = call(image).numpy().tobytes()
            under_jit(image)

            def ticks():  # of processor time, by thread
                stats = pathlib.Path("/proc/self/task").glob("*/stat")
                rows = [path.read_text().rpartition(")")[2].split() for path in stats]
                return sorted((int(row[11]) + int(row[12]) for row in rows), reverse=True)

            before = sum(ticks()[1:])
            for number in range(5000):
                under_jit(image)
                if number % 10 == 0 and sum(ticks()[1:]) - before > 20:
                    print("several threads")
                    break
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                answers = pool.map(lambda _: under_jit(image).numpy().tobytes(), range(200))
                print("right", all(answer == expected for answer in answers))
            """
        )
        self.assertIn("several threads\n", printed)
        self.assertIn("right True\n", printed)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
