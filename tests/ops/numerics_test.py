"""What the bits must be: rounding, Inf and NaN, denormals, reproducibility, past 2^31 elements."""

import json
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
from tf_dwbp import _library, ops
from tf_dwbp.conformance import verdicts
from tf_dwbp.conformance.cases import DTYPES, OPS, Case, Shape
from tf_dwbp.tools import targets

_FUNCTIONS = targets.load(targets.OURS)

# In a process of its own, since the settings are read once: prints a digest of many results.
DIGEST = """if True:
    import sys, zlib
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    from tf_dwbp.conformance import cases
    from tf_dwbp.tools import targets
    functions = targets.load(targets.OURS)
    digest = 0
    for dtype in cases.DTYPES:
        for layout in cases.LAYOUTS:
            for sizes in (
                (1, 40, 70, 200, 2), (5, 33, 300, 7, 2), (3, 33, 60, 200, 1), (9, 20, 20, 9, 1),
                (40, 5, 5, 3, 1), (9, 24, 41, 3, 1),
            ):
                shape = cases.Shape("", *sizes, 3, 5)
                # By lines, and not.
                strides = (1, 1) if sizes[2] == 41 else (1, 2)
                for op in cases.OPS:
                    case = cases.Case(dtype, layout, "SAME", shape, strides, (2, 1), op)
                    answer = functions[op](**case.arguments())
                    digest = zlib.crc32(answer.numpy().tobytes(), digest)
    print("digest", digest)
"""


def _digest(threads, instruction_set):
    source = os.path.dirname(os.path.dirname(tf_dwbp.__file__))
    path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "TF_DWBP_CPU_ISA": instruction_set}
    output = subprocess.run(
        [sys.executable, "-c", DIGEST, str(threads)],
        env=environment,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return output.stdout.partition("digest ")[2]


def _call(input_sizes, filter, out_backprop, stride=1, padding="SAME"):
    return ops.depthwise_conv2d_backprop_input(
        input_sizes, filter, out_backprop, [1, stride, stride, 1], padding
    )


class NumericsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters("half", "bfloat16")
    def test_narrow_types_accumulate_in_float(self, dtype):
        # 1 + 1024 * 2^-11 = 1.5; in the dtype itself each addition would be rounded away.
        terms = 1025
        filter = np.full([1, 1, 1, terms], 2.0**-11, DTYPES[dtype])
        filter[..., 0] = 1
        answer = _call([1, 1, 1, 1], filter, np.ones([1, 1, 1, terms], DTYPES[dtype]))
        self.assertEqual(float(answer[0, 0, 0, 0]), 1.5)

    @parameterized.parameters("half", "bfloat16")
    def test_the_other_ops_accumulate_in_float(self, dtype):
        # A filter, and an image, of 1 and 1024 times 2^-11.
        terms = np.full([1, 1, 1025, 1], 2.0**-11, DTYPES[dtype])
        terms[0, 0, 512] = 1
        ones = np.ones_like(terms)
        forward = ops.depthwise_conv2d(ones, terms.reshape(1, 1025, 1, 1), [1, 1, 1, 1], "VALID")
        self.assertEqual(float(forward[0, 0, 0, 0]), 1.5)
        gradient = ops.depthwise_conv2d_backprop_filter(
            terms, [1, 1, 1, 1], ones, [1, 1, 1, 1], "VALID"
        )
        self.assertEqual(float(gradient[0, 0, 0, 0]), 1.5)

    @parameterized.product(layout=("NHWC", "NCHW"), channels=(1, 3, 16, 40))
    def test_the_error_of_a_filter_gradient_does_not_grow(self, layout, channels):
        # Sums of a million products of one sign, which plain float sums get wrong by 1e-3.
        random = np.random.default_rng(channels)
        sizes = [16, 256, 256, channels] if layout == "NHWC" else [16, channels, 256, 256]
        image, upstream = (random.uniform(0.1, 0.2, sizes).astype(np.float32) for _ in range(2))
        gradient = ops.depthwise_conv2d_backprop_filter(
            image, [1, 1, channels, 1], upstream, [1] * 4, "SAME", data_format=layout
        )
        axes = (0, 1, 2) if layout == "NHWC" else (0, 2, 3)
        exact = np.sum(image.astype(np.float64) * upstream, axis=axes)
        self.assertAllClose(tf.cast(gradient[0, 0, :, 0], tf.float64), exact, rtol=5e-7, atol=0)

    @parameterized.parameters("NHWC", "NCHW")
    def test_every_half_and_bfloat16_survives(self, layout):
        # A 1x1 filter of 1 returns what came in: all 2^16 bit patterns, NaNs as NaNs.
        for dtype in (np.float16, ml_dtypes.bfloat16):
            patterns = np.arange(2**16, dtype=np.uint16).view(dtype).reshape(1, 16, 16, 256)
            sizes = [1, 16, 16, 256]
            filter = np.ones([1, 1, 256 if layout == "NHWC" else 16, 1], dtype)
            answer = ops.depthwise_conv2d_backprop_input(
                sizes, filter, patterns, [1, 1, 1, 1], "SAME", data_format=layout
            ).numpy()
            finite = ~np.isnan(patterns)
            self.assertAllEqual(np.isnan(answer), ~finite)
            self.assertAllEqual(
                answer[finite].view(np.uint16), (patterns[finite] + dtype(0)).view(np.uint16)
            )

    @parameterized.parameters("half", "bfloat16")
    def test_ties_round_to_even(self, dtype):
        # 1 + (n + 1/2) ulp, as a sum of two products, with n odd and even.
        ulp = float(ml_dtypes.finfo(DTYPES[dtype]).eps)
        for n, rounded in ((0, 0), (1, 2), (2, 2), (3, 4)):
            filter = np.array([1 + n * ulp, ulp / 2], DTYPES[dtype]).reshape(1, 1, 1, 2)
            # 40 channels take the vectors, 1 takes the scalars.
            for channels in (1, 40):
                answer = _call(
                    [1, 1, 1, channels],
                    np.tile(filter, [1, 1, channels, 1]),
                    np.ones([1, 1, 1, 2 * channels], DTYPES[dtype]),
                )
                expected = np.full([1, 1, 1, channels], 1 + rounded * ulp)
                self.assertAllEqual(tf.cast(answer, tf.float64), expected)

    @parameterized.parameters(*DTYPES)
    def test_denormals_are_kept(self, dtype):
        # On the calling thread and on the pool's, whose processor mode is to flush them.
        tiny = ml_dtypes.finfo(DTYPES[dtype]).smallest_subnormal
        for batch in (1, 64):
            out_backprop = np.full([batch, 32, 32, 16], tiny, DTYPES[dtype])
            answer = _call(out_backprop.shape, np.ones([1, 1, 16, 1], DTYPES[dtype]), out_backprop)
            self.assertAllEqual(answer == tiny, np.ones(out_backprop.shape, bool))

    @parameterized.product(layout=("NHWC", "NCHW"), value=(np.inf, np.nan), channels=(1, 24))
    def test_what_lies_outside_takes_no_part(self, layout, value, channels):
        # The filter's corner meets no pixel of out_backprop for the input's last row and column.
        case = Case("float", layout, "SAME", Shape("", 1, 6, 7, channels, 1, 3, 3), (1, 1), (1, 1))
        filter, out_backprop = (np.ones(x.shape, np.float32) for x in case.inputs())
        filter[0, 0] = value
        answer = ops.depthwise_conv2d_backprop_input(
            case.input_sizes, filter, out_backprop, **case.attributes
        ).numpy()
        if layout == "NCHW":
            answer = answer.transpose(0, 2, 3, 1)
        touched = np.zeros(answer.shape, bool)
        touched[:, :-1, :-1] = True
        self.assertAllEqual(~np.isfinite(answer), touched)
        self.assertAllInRange(answer[~touched], 1, 9)

    @parameterized.product(layout=("NHWC", "NCHW"), value=(np.inf, np.nan), channels=(1, 24))
    def test_what_lies_outside_takes_no_part_in_the_other_ops(self, layout, value, channels):
        def case_of(op):
            shape = Shape("", 2, 6, 7, channels, 1, 3, 3)
            case = Case("float", layout, "SAME", shape, (1, 1), (1, 1), op)
            return case, {role: np.ones_like(array) for role, array in case.tensors().items()}

        case, tensors = case_of("forward")
        tensors["filter"][0, 0] = value
        answer = _FUNCTIONS["forward"](**case.arguments(tensors)).numpy()
        answer = answer if layout == "NHWC" else answer.transpose(0, 2, 3, 1)
        touched = np.zeros(answer.shape, bool)
        touched[:, 1:, 1:] = True
        self.assertAllEqual(~np.isfinite(answer), touched)
        self.assertAllInRange(answer[~touched], 1, 9)

        # The first image's corner meets no tap above or left of the centre.
        case, tensors = case_of("filter_grad")
        corner = (
            tensors["output"][0] if layout == "NHWC" else tensors["output"][0].transpose(1, 2, 0)
        )
        corner[0, 0] = value
        answer = _FUNCTIONS["filter_grad"](**case.arguments(tensors)).numpy()
        touched = np.zeros(answer.shape, bool)
        touched[1:, 1:] = True
        self.assertAllEqual(~np.isfinite(answer), touched)
        self.assertAllInRange(answer[~touched], 2 * 5 * 6, 2 * 6 * 7)

    def test_same_bits_from_any_number_of_threads_and_every_run(self):
        first = _digest(1, "")
        self.assertNotEmpty(first)
        for threads in (1, 8):
            self.assertEqual(_digest(threads, ""), first)
        # All that have fused multiply-adds take the sums in the same order.
        if "avx2" in json.loads(_library.BUILD_INFO_PATH.read_text(encoding="utf-8"))["cpu_isas"]:
            self.assertEqual(_digest(3, "avx2"), first)

    def test_the_baseline_instruction_set_is_right_and_reproducible(self):
        one = _digest(1, "baseline")
        self.assertNotEmpty(one)
        self.assertEqual(_digest(8, "baseline"), one)

    @parameterized.product(
        op=OPS,
        shape=(
            Shape("", 1, 1, 3000, 3, 1, 1, 9),  # several tiles and strips in a row
            Shape("", 1, 1, 5000, 1, 1, 1, 2),
            Shape("", 1, 3, 3, 2, 700, 2, 2),  # a multiplier larger than the buffer for its sums
            Shape("", 1, 3, 3, 100, 7, 2, 2),
            Shape("", 1, 2, 2, 1000, 1, 3, 3),  # channels are all there is to split
            Shape("", 2, 20, 20, 33, 1, 13, 13),
            Shape("", 64, 7, 6, 20, 1, 3, 3),
            Shape("", 33, 5, 9, 3, 2, 5, 11),
        ),
    )
    def test_sizes_that_cross_block_boundaries(self, op, shape):
        for layout in ("NHWC", "NCHW"):
            for stride in ((1, 1), (1, 2), (2, 7)):
                case = Case("float", layout, "SAME", shape, stride, (1, 3), op)
                answer = _FUNCTIONS[op](**case.arguments())
                outcome = verdicts.judge(answer.numpy(), case, verdicts.expectation(case))
                self.assertEqual(outcome.verdict, verdicts.Verdict.AGREES, (case.id, outcome))

    @parameterized.product(op=OPS, size=tuple(range(1, 14)))
    def test_filters_up_to_13_square_and_batches_up_to_64(self, op, size):
        shape = Shape("", (5 * size) % 65, 14, 15, 17, 1, size, size)
        for stride in ((1, 1), (2, 2), (3, 1)):
            case = Case("float", "NHWC", "SAME", shape, stride, (1, 1), op)
            answer = _FUNCTIONS[op](**case.arguments())
            outcome = verdicts.judge(answer.numpy(), case, verdicts.expectation(case))
            self.assertEqual(outcome.verdict, verdicts.Verdict.AGREES, (case.id, outcome))

    @parameterized.parameters(2**31 - 1, 2**16)
    def test_strides_and_dilations_up_to_the_limit(self, step):
        for strides, dilations in (([1, step, step, 1], [1] * 4), ([1] * 4, [1, step, step, 1])):
            answer = ops.depthwise_conv2d_backprop_input(
                [1, 3, 3, 2],
                tf.reshape(tf.range(1.0, 19), [3, 3, 2, 1]),
                tf.ones([1, 1, 1, 2] if strides[1] > 1 else [1, 3, 3, 2]),
                strides,
                "SAME",
                dilations=dilations,
            ).numpy()
            image = tf.reshape(tf.range(1.0, 19), [1, 3, 3, 2])
            upstream = tf.ones([1, 1, 1, 2] if strides[1] > 1 else [1, 3, 3, 2])
            gradient = ops.depthwise_conv2d_backprop_filter(
                image, [3, 3, 2, 1], upstream, strides, "SAME", dilations=dilations
            ).numpy()
            forward = ops.depthwise_conv2d(
                image, tf.ones([3, 3, 2, 1]), strides, "SAME", dilations=dilations
            )
            if strides[1] > 1:
                self.assertAllEqual(gradient[..., 0], image[0])
                self.assertAllEqual(forward, tf.reduce_sum(image, [1, 2], keepdims=True))
            else:
                self.assertAllEqual(forward, image)
                centre = np.zeros([3, 3, 2])
                centre[1, 1] = tf.reduce_sum(image, [0, 1, 2])
                self.assertAllEqual(gradient[..., 0], centre)
            if strides[1] > 1:  # one output pixel, whose window is centred
                self.assertAllEqual(answer[0, ..., 0], np.arange(1, 19, 2).reshape(3, 3))
            else:  # only the central tap meets the image
                self.assertAllEqual(answer[0, ..., 0], np.full([3, 3], 9))

    @parameterized.parameters("NHWC", "NCHW")
    @pytest.mark.slow
    def test_result_past_2_31_elements(self, layout):
        # The result has 2.2e9 elements; out_backprop's few pixels lie `stride` apart.
        height, width, channels, stride = 46400, 46400 // 64, 64, 400
        sizes = [1, height, width, channels]
        filter = np.arange(1, 3, dtype=np.float16).reshape(1, 2, 1, 1) * np.ones(
            [1, 2, channels, 1], np.float16
        )
        rows, columns = -(-height // stride), -(-width // stride)
        out_backprop = np.ones([1, rows, columns, channels], np.float16)
        strides = [1, stride, stride, 1]
        if layout == "NCHW":
            sizes, strides = [1, channels, height, width], [1, 1, stride, stride]
            out_backprop = out_backprop.transpose(0, 3, 1, 2)
        answer = ops.depthwise_conv2d_backprop_input(
            sizes, filter, out_backprop, strides, "SAME", data_format=layout
        )
        self.assertGreater(tf.size(answer, tf.int64), 2**31)
        answer = answer.numpy()
        # Each row of out_backprop lands in one row, the last of them past element 2^31 ...
        expected = np.zeros([width, channels])
        expected[::stride] = 1
        expected[1::stride] = 2
        for row in range(0, height, stride):
            landed = answer[0, row] if layout == "NHWC" else answer[0, :, row].T
            self.assertAllEqual(landed, expected)
        # ... and nothing lands anywhere else.
        nonzero = 2 * rows * columns * channels
        self.assertEqual(np.count_nonzero(answer.view(np.uint16)), nonzero)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
