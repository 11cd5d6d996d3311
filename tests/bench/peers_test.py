"""The benchmark's two contenders do the same: each computes what the reference says."""

import dataclasses
import functools
import sys
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import executed
from bench_cases import DILATED, MULTIPLIER, PLAIN, PLAN, STRIDED, assert_right, reference_of
from tf_dwbp import family
from tf_dwbp.bench import call as call_module
from tf_dwbp.bench import peers, shapes, worker
from tf_dwbp.bench.call import DTYPES, OPS, Call
from tf_dwbp.bench.contender import Contender, Refused
from tf_dwbp.tools import targets


class PeersTest(tf.test.TestCase, parameterized.TestCase):
    """Each contender's answer is the reference's: what is compared is one task."""

    def _assert_right(self, prepare, call):
        assert_right(prepare(call, 1), call)

    @parameterized.product(
        shape=(PLAIN, STRIDED, DILATED, MULTIPLIER),
        layout=("NHWC", "NCHW"),
        dtype=list(DTYPES),
        op=list(OPS),
    )
    def test_ours(self, shape, layout, dtype, op):
        self._assert_right(peers.prepare_ours, Call(shape, dtype, layout, op))

    @parameterized.product(
        text=(
            "forward:float:NHWC:b2:9x7x5m2:k3x2:s2x1:d1x2:EXPLICIT(1,2,3,0)",
            "forward:float:NHWC:b1:9x8x3m1:k2x3:s1x1:d2x3:VALID",
        ),
        op=list(OPS),
    )
    def test_any_problem(self, text, op):
        call = Call(shapes.Given(text), "float32", "NHWC", op)
        self.assertEqual(call.shape.name, text)
        for prepare in (peers.prepare_ours, peers.PEERS["xla"].prepare):
            self._assert_right(prepare, call)
        if call.problem.padding == "VALID":
            self._assert_right(peers.PEERS["dilated"].prepare, call)

    @parameterized.product(op=list(OPS), layout=("NHWC", "NCHW"))
    def test_ours_in_a_function(self, op, layout):
        self._test_execution("function", Call(DILATED, "float32", layout, op))

    @parameterized.product(op=list(OPS), layout=("NHWC", "NCHW"))
    @pytest.mark.xla
    def test_ours_under_jit(self, op, layout):
        self._test_execution("jit", Call(DILATED, "float32", layout, op))

    def _test_execution(self, execution, call):
        as_ours = functools.partial(peers.prepare_ours, execution=execution)
        for prepare in (as_ours, peers.PEERS[f"ours-{execution}"].prepare):
            peers._program.cache_clear()
            with mock.patch.object(tf, "function", wraps=tf.function) as function:
                self._assert_right(prepare, call)
            function.assert_called_once_with(jit_compile=execution == "jit")

    @parameterized.product(
        name=("ours", "onednn"),
        text=("bias", "bias+relu6", "bias+elu"),
        shape=(PLAIN, MULTIPLIER),
        dtype=("float32", "bfloat16"),
    )
    def test_epilogues_in_a_graph(self, name, text, shape, dtype):
        prepare = peers.prepare_ours if name == "ours" else peers.PEERS[name].prepare
        call = Call(shape, dtype, "NHWC", "forward", epilogue=text)
        contender = prepare(call, 1)
        ran = executed.in_graphs(contender.run)
        names = {"ours": family.OUR_FUSED, "onednn": family.FUSED}
        self.assertEqual(ran, {names[name]: peers.CALLS_IN_GRAPH})
        self.assertEqual(contender.calls, peers.CALLS_IN_GRAPH)
        assert_right(contender, call)

    def test_cold_epilogues_take_each_tensor_once(self):
        call = Call(PLAIN, "float32", "NHWC", "forward", cold=True, epilogue="bias")
        with mock.patch.object(call_module, "MOST_COPIES", 3):
            contender = peers.prepare_ours(call, 1)
            self.assertEqual(contender.calls, 3)
            assert_right(contender, call)
            given = [peers._tensors(copy)[0]["bias"] for copy in call.copies]
        self.assertLen({id(tensor) for tensor in given}, 3)

    @parameterized.parameters(
        ("forward:float:NHWC:b1:5x5x3m1:k3x3:s1x1:d2x2:SAME:bias", Refused, "ignore dilations"),
        (
            "forward:float:NHWC:b1:5x5x3m1:k3x3:s1x1:d1x1:SAME:gelu",
            NotImplementedError,
            "stock fuses no gelu",
        ),
    )
    def test_epilogues_that_stock_does_not_have(self, text, error, why):
        call = Call(shapes.Given(text), "float32", "NHWC", "forward")
        assert_right(peers.prepare_ours(call, 1), call)
        with self.assertRaisesRegex(error, why):
            peers.PEERS["onednn"].prepare(call, 1)

    def test_what_cannot_be_compiled_is_known_before(self):
        with mock.patch.object(peers, "build_info", return_value={"why_no_xla": "a reason"}):
            for chosen in (("ours-jit",), ("xla", "jit")):
                self.assertIn("without XLA kernels: a reason", peers.missing(*chosen))
            self.assertIsNone(peers.missing("ours-function", "eager"))
            self.assertIsNone(peers.missing("xla"))

    @parameterized.product(shape=(PLAIN, STRIDED), dtype=list(DTYPES), op=list(OPS))
    def test_relu_moves_as_many_bytes(self, shape, dtype, op):
        for cold in (False, True):
            call = Call(shape, dtype, "NHWC", op, cold)
            [answer] = peers.PEERS["relu"].prepare(call, 1).run()
            self.assertEqual(answer.dtype, tf.as_dtype(dtype))
            moved = 2 * answer.shape.num_elements() * answer.dtype.size  # read and written
            self.assertBetween(call.moved_bytes - moved, 0, answer.dtype.size)

    @parameterized.product(
        shape=(PLAIN, STRIDED, MULTIPLIER), dtype=("float32", "float64"), op=list(OPS)
    )
    def test_stock(self, shape, dtype, op):
        self._assert_right(peers.PEERS["onednn"].prepare, Call(shape, dtype, "NHWC", op))
        self._assert_right(peers.PEERS["eigen"].prepare, Call(shape, dtype, "NHWC", op))

    @parameterized.parameters("onednn", "xla", "ours-eager", "ours-function", "dilated")
    def test_cold_calls_have_tensors_of_their_own(self, name):
        call = Call(DILATED if name == "dilated" else PLAIN, "float32", "NHWC", "backward", True)
        with mock.patch.object(call_module, "MOST_COPIES", 3):
            contender = peers.PEERS[name].prepare(call, 1)
            for _ in range(4):
                assert_right(contender, call)
            given = [peers._tensors(copy)[0]["input"] for copy in call.copies]
            again = [peers._tensors(copy)[0]["input"] for copy in call.copies]
        self.assertLen({id(tensor) for tensor in given}, 3)
        self.assertTrue(all(a is b for a, b in zip(given, again, strict=True)))

    def test_stock_refuses_what_it_would_get_wrong(self):
        with self.assertRaisesRegex(Refused, "ignore dilations"):
            peers.PEERS["onednn"].prepare(Call(DILATED, "float32", "NHWC"), 1)

    @parameterized.product(shape=(PLAIN, STRIDED, DILATED, MULTIPLIER), op=list(OPS))
    def test_xla(self, shape, op):
        self._assert_right(peers.PEERS["xla"].prepare, Call(shape, "float32", "NHWC", op))

    @parameterized.parameters("NHWC", "NCHW")
    def test_xla_layouts(self, layout):
        self._assert_right(peers.PEERS["xla"].prepare, Call(STRIDED, "bfloat16", layout))

    @parameterized.product(dtype=list(DTYPES), dilation=(2, 3), op=list(OPS))
    def test_space_to_batch(self, dtype, dilation, op):
        shape = dataclasses.replace(DILATED, dilation=dilation)
        self._assert_right(peers.PEERS["dilated"].prepare, Call(shape, dtype, "NHWC", op))

    def test_space_to_batch_computes_what_the_tape_does(self):
        call = Call(DILATED, "float32", "NHWC", "backward")
        image, filter, out_backprop = map(tf.constant, call.tensors().values())
        with tf.GradientTape() as tape:
            tape.watch([image, filter])
            out = tf.nn.depthwise_conv2d(image, filter, [1] * 4, "SAME", dilations=[2, 2])
        expected = tape.gradient(out, [image, filter], out_backprop)
        actual = peers.PEERS["dilated"].prepare(call, 1).run()
        for gradient, expected_gradient in zip(actual, expected, strict=True):
            self.assertAllClose(gradient, expected_gradient)

    def test_space_to_batch_refuses_strides(self):
        shape = dataclasses.replace(DILATED, stride=2)
        with self.assertRaisesRegex(Refused, "no stride"):
            peers.PEERS["dilated"].prepare(Call(shape, "float32", "NHWC"), 1)


class DisagreementTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.call = Call(DILATED, "float32", "NHWC", "backward")
        self.right = [array.astype(np.float32) for array in reference_of(self.call)]

    def _disagreement(self, *answers):
        return worker.disagreement(self.call, self.right, answers)

    def test_roundings_agree(self):
        image, filter = self.right
        factor = np.float32(1 + 2e-7)
        self.assertIsNone(self._disagreement(image * factor, filter * factor))

    def test_stock_with_dilations_does_not(self):
        functions, tensors = targets.load(targets.STOCK), self.call.tensors()
        sizes = {"input": self.call.input_sizes, "filter": self.call.filter_shape}
        stock = [
            functions[step](**self.call.arguments(step, tensors, sizes)).numpy()
            for step in self.call.steps
        ]
        self.assertIn("input_grad differs", self._disagreement(*stock))
        self.assertIn("filter_grad differs", self._disagreement(self.right[0], stock[1]))

    def test_one_element_or_nan_is_enough(self):
        for step, right in enumerate(self.right):
            for wrong in (right[0, 0, 0, 0] + 0.01, np.nan):
                answers = [array.copy() for array in self.right]
                answers[step][0, 0, 0, 0] = wrong
                self.assertIn(f"{self.call.steps[step]} differs", self._disagreement(*answers))

    def test_shapes_must_agree(self):
        self.assertIn("shape", self._disagreement(self.right[0][:1], self.right[1]))

    def test_a_peer_that_disagrees_is_not_timed(self):
        wrong = peers.Peer("wrong", lambda call, _: Contender(lambda: [np.zeros(call.input_sizes)]))
        with mock.patch.dict(peers.PEERS, onednn=wrong):
            row = worker.measure_row(dataclasses.replace(PLAN, rounds=1), PLAIN)
        self.assertEqual(set(row.seconds), {"ours", "copy"})
        self.assertIn("differs", row.refusals["onednn"])


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
