"""The ops on GPUs: registered wherever nvcc was there to build them, right where there is a GPU."""

import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import kernels

import tf_dwbp
from tf_dwbp import swap
from tf_dwbp.conformance import cases, verdicts
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import reference

_OPS = {
    "forward": ("TfDwbp>DepthwiseConv2dNative", []),
    "input_grad": ("TfDwbp>DepthwiseConv2dNativeBackpropInput", ["input_sizes"]),
    "filter_grad": ("TfDwbp>DepthwiseConv2dNativeBackpropFilter", ["filter_sizes"]),
}
_FUNCTIONS = {
    "forward": tf_dwbp.ops.depthwise_conv2d,
    "input_grad": tf_dwbp.ops.depthwise_conv2d_backprop_input,
    "filter_grad": tf_dwbp.ops.depthwise_conv2d_backprop_filter,
}


class RegistrationTest(tf.test.TestCase, parameterized.TestCase):
    """Needs no GPU, nor a TensorFlow that could use one."""

    @parameterized.parameters(*_OPS)
    def test_for_every_type_where_there_was_an_nvcc(self, op):
        name, on_host = _OPS[op]
        found = [
            kernel
            for kernel in kernels.get_registered_kernels_for_op(name).kernel
            if kernel.device_type == "GPU"
        ]
        types = [kernel.constraint[0].allowed_values.list.type[0] for kernel in found]
        expected = [tf.half, tf.bfloat16, tf.float32, tf.float64]
        if tf_dwbp.build_info()["cuda_version"] is None:
            expected = []
        self.assertCountEqual(types, [dtype.as_datatype_enum for dtype in expected])
        for kernel in found:
            self.assertEqual(list(kernel.host_memory_arg), on_host)

    @parameterized.parameters(*_OPS)
    @pytest.mark.xla
    def test_for_xla_too(self, op):
        def knows_gpus(name):
            registered = kernels.get_registered_kernels_for_op(name).kernel
            return "XLA_GPU_JIT" in {kernel.device_type for kernel in registered}

        tf.function(tf.nn.relu, jit_compile=True)(tf.ones([2]))  # XLA makes its kernels now
        # tensorflow-cpu has no XLA for GPUs.
        expected = tf_dwbp.build_info()["cuda_version"] is not None and knows_gpus("Relu")
        self.assertEqual(knows_gpus(_OPS[op][0]), expected)


def _compute(case, device):
    arguments = case.arguments()
    with tf.device(device):
        tensors = {
            name: tf.constant(value) if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
            if not name.endswith("_sizes")
        }
        sizes = {name: value for name, value in arguments.items() if name.endswith("_sizes")}
        return _FUNCTIONS[case.op](**tensors, **sizes)


def _losses(dtype, device, jit_compile):
    """Of a few steps of a small network, whose depthwise layers are stock's; and a step."""
    random = np.random.default_rng(2)
    shapes = [(3, 3, 8, 1), (8, 16), (5, 5, 16, 1), (16, 10)]
    weights = [random.standard_normal(s) / np.sqrt(np.prod(s[:2])) for s in shapes]
    pictures, labels = random.standard_normal((16, 20, 20, 8)), random.integers(0, 10, 16)
    # Gradients of half are kept from becoming zero.
    scale = 128.0 if dtype == tf.half else 1.0
    with tf.device(device):
        variables = [tf.Variable(weight.astype(np.float32)) for weight in weights]
        pictures, labels = tf.constant(pictures, dtype), tf.constant(labels)

        @tf.function(jit_compile=jit_compile)
        def step():
            with tf.GradientTape() as tape:
                first, mixed, second, last = [tf.cast(v, dtype) for v in variables]
                x = tf.nn.relu(tf.nn.depthwise_conv2d(pictures, first, [1, 1, 1, 1], "SAME"))
                x = tf.nn.relu(tf.tensordot(x, mixed, 1))
                x = tf.nn.relu(tf.nn.depthwise_conv2d(x, second, [1, 2, 2, 1], "SAME"))
                logits = tf.cast(tf.matmul(tf.reduce_mean(x, [1, 2]), last), tf.float32)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
                scaled = loss * scale
            for variable, gradient in zip(variables, tape.gradient(scaled, variables), strict=True):
                variable.assign_sub(0.1 / scale * gradient)
            return loss

        return [float(step()) for _ in range(8)], step


@pytest.mark.gpu
class OnGpuTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(op=list(cases.OPS), dtype=list(cases.DTYPES))
    def test_right_in_a_cut_of_the_matrix(self, op, dtype):
        for case in cases.select(dtypes=[dtype], ops=[op], orders=[0], quick=True):
            answer = _compute(case, "GPU:0")
            self.assertIn("GPU", answer.device)
            outcome = verdicts.judge(answer.numpy(), case, verdicts.expectation(case))
            self.assertIs(outcome.verdict, Verdict.AGREES, f"{case.id}: {outcome.evidence}")

    @parameterized.parameters(*cases.OPS)
    def test_the_same_bits_from_every_run(self, op):
        random = np.random.default_rng(0)
        sizes, filter_shape = (64, 56, 56, 32), (3, 3, 32, 1)
        tensors = {
            "input": random.standard_normal(sizes).astype(np.float32),
            "filter": random.standard_normal(filter_shape).astype(np.float32),
            "output": random.standard_normal(sizes).astype(np.float32),
        }
        arguments = {
            "forward": (tensors["input"], tensors["filter"]),
            "input_grad": (sizes, tensors["filter"], tensors["output"]),
            "filter_grad": (tensors["input"], filter_shape, tensors["output"]),
        }[op]
        with tf.device("GPU:0"):
            answers = [
                _FUNCTIONS[op](*arguments, strides=[1, 1, 1, 1], padding="SAME").numpy()
                for _ in range(5)
            ]
        self.assertLen({zlib.crc32(answer.tobytes()) for answer in answers}, 1)
        expected = getattr(reference, op)(*arguments, [1, 1, 1, 1], "SAME")
        scale = np.abs(expected).max()
        self.assertAllClose(answers[0] / scale, expected / scale, rtol=0, atol=1e-5)

    def test_gradients_in_a_function(self):
        case = next(
            case
            for case in cases.select(dtypes=["float"], ops=["forward"], orders=[1])
            if case.shape.name == "plain"
        )
        tensors = case.tensors()

        @tf.function
        def gradients(image, kernel, upstream):
            with tf.GradientTape() as tape:
                tape.watch([image, kernel])
                output = tf_dwbp.ops.depthwise_conv2d(image, kernel, **case.attributes)
            return tape.gradient(output, [image, kernel], upstream)

        with tf.device("GPU:0"):
            answers = gradients(*(tf.constant(tensors[role]) for role in reference.ROLES))
        outcome = verdicts.judge_all(
            [answer.numpy() for answer in answers], case, verdicts.expectations(case)
        )
        self.assertIs(outcome.verdict, Verdict.AGREES, outcome.evidence)

    @parameterized.product(op=list(cases.OPS), dtype=list(cases.DTYPES))
    @pytest.mark.xla
    def test_the_same_bits_under_jit(self, op, dtype):
        for case in cases.select(dtypes=[dtype], ops=[op], orders=[0], quick=True)[::5]:
            compiled = tf.function(lambda case=case: _compute(case, "GPU:0"), jit_compile=True)
            self.assertAllEqual(compiled(), _compute(case, "GPU:0"))

    @parameterized.parameters((tf.float32, None), (tf.half, None), (tf.float32, True))
    @pytest.mark.xla
    def test_training_by_the_swap(self, dtype, jit_compile):
        expected, _ = _losses(dtype, "GPU:0", None)
        with swap.installed():
            losses, step = _losses(dtype, "GPU:0", jit_compile)
            report = swap.report(step)
        # Where graphs are pruned, the pictures' gradient is none of them.
        self.assertGreaterEqual(report.ours, 5, report)
        self.assertEqual((report.stock, report.undecided), (0, 0), report)
        self.assertLess(losses[-1], losses[0])
        self.assertAllClose(losses, expected, rtol=0, atol=1e-4 if dtype == tf.float32 else 3e-2)

    def test_empty_tensors(self):
        with tf.device("GPU:0"):
            nothing = tf.zeros([0, 4, 4, 2])
            kernel = tf.ones([3, 3, 2, 1])
            output = tf_dwbp.ops.depthwise_conv2d(nothing, kernel, [1, 1, 1, 1], "SAME")
            self.assertEqual(output.shape, [0, 4, 4, 2])
            gradient = tf_dwbp.ops.depthwise_conv2d_backprop_filter(
                nothing, [3, 3, 2, 1], nothing, [1, 1, 1, 1], "SAME"
            )
            self.assertAllEqual(gradient, tf.zeros([3, 3, 2, 1]))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
