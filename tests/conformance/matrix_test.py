"""The conformance suite itself: what its matrix covers, and that it tells right from wrong."""

import dataclasses
import itertools
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import test_util

from tf_dwbp.conformance import cases, results, verdicts
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools import epilogue, problem, reference, targets

_AXES = {"op": cases.OPS} | cases.AXES


def _case(name, op="input_grad"):
    """For example of the name float-NHWC-SAME-s2x1-d1x2-odd."""
    return next(case for case in cases.CASES if _name(case) == name and case.op == op)


def _name(case):
    stride, dilation = ("x".join(map(str, pair)) for pair in (case.stride, case.dilation))
    axes = f"{case.dtype}-{case.layout}-{case.padding}-s{stride}-d{dilation}"
    return f"{axes}-{case.shape.name}" if not case.order else ""


def _select(*filters, op="input_grad", order=0, **more):
    return cases.select(*filters, ops=[op], orders=[order], **more)


class CasesTest(tf.test.TestCase, parameterized.TestCase):
    def test_ids_are_unique_and_readable(self):
        every = (*cases.CASES, *cases.LARGE_CASES)
        self.assertLen({case.id for case in every}, len(every))
        for case in every:
            self.assertEqual(cases.Case.of_id(case.id), case)
            self.assertEqual(problem.parse(str(case.problem)), case.problem)
        case = _case("float-NHWC-EXPLICIT-s2x1-d1x2-odd")
        text = "input_grad:float:NHWC:b3:11x9x3m1:k3x3:s2x1:d1x2:EXPLICIT(1,2,3,0)"
        self.assertEqual(case.id, text)
        second = dataclasses.replace(case, order=2)
        self.assertEqual(second.id, f"{text} order 2")
        self.assertEqual(second.options, f"--case '{text}' --order 2 --seed 0")

    def test_any_problem_is_a_case(self):
        text = "forward:half:NCHW:b2:6x7x5m3:k2x4:s5x4:d7x6:EXPLICIT(9,8,7,6)"
        case = cases.Case.of(problem.parse(text), order=1)
        self.assertEqual((str(case.problem), case.order), (text, 1))
        self.assertEqual(cases.Case.of_id(case.id), case)
        self.assertFalse(case.is_large)
        self.assertTrue(cases.Case.of(problem.parse(text.replace("6x7x5", "60x70x50"))).is_large)

    def test_every_combination_is_there(self):
        found = {tuple(getattr(case, axis) for axis in _AXES) for case in cases.select(orders=[0])}
        self.assertEqual(found, set(itertools.product(*_AXES.values())))

    def test_axes_hold_what_the_matrix_promises(self):
        for pairs in (cases.STRIDES, cases.DILATIONS):
            self.assertTrue(any(y == x for y, x in pairs))
            self.assertTrue(any(y < x for y, x in pairs))
            self.assertTrue(any(y > x for y, x in pairs))
            self.assertEqual({size for pair in pairs for size in pair}, {1, 2, 3})
        shapes = cases.SHAPES
        self.assertContainsSubset({0, 1, 2}, {shape.multiplier for shape in shapes})
        self.assertContainsSubset({0, 1, 2}, {shape.batch for shape in shapes})
        self.assertContainsSubset({1, 3, 8, 17, 40}, {shape.channels for shape in shapes})
        self.assertTrue(any(shape.height % 2 and shape.width % 2 for shape in shapes))
        self.assertTrue(any(shape.filter_height == shape.filter_width == 1 for shape in shapes))
        self.assertTrue(any(shape.filter_height % 2 == 0 for shape in shapes))
        self.assertTrue(
            any(s.filter_height > s.height and s.filter_width > s.width for s in shapes)
        )
        self.assertNotEqual(*cases.EXPLICIT_ROWS)
        self.assertNotEqual(*cases.EXPLICIT_COLUMNS)

    @parameterized.product(order=cases.ORDERS, quick=(True, False))
    def test_every_pair_of_values_meets(self, order, quick):
        selected = cases.select(quick=quick, orders=[order])
        if quick or order:
            self.assertLess(len(selected), len(cases.CASES) / 10)
        for first, second in itertools.combinations(_AXES, 2):
            found = {(getattr(case, first), getattr(case, second)) for case in selected}
            self.assertEqual(found, set(itertools.product(_AXES[first], _AXES[second])))

    def test_every_large_shape_meets_every_value(self):
        names = {shape.name for shape in cases.SHAPES}
        for large in cases.LARGE:
            self.assertNotIn(large.shape.name, names)
            found = [case for case in cases.LARGE_CASES if case.shape == large.shape]
            for axis, values in _AXES.items():
                if axis != "shape":
                    self.assertEqual({getattr(case, axis) for case in found}, set(values), axis)
            # The one that it is there for is the first.
            for field in dataclasses.fields(large):
                self.assertEqual(getattr(found[0], field.name), getattr(large, field.name))
            self.assertTrue(all(case.is_large and not case.order for case in found))

    def test_large_shapes_are_beyond_the_kernels_thresholds(self):
        shapes = {large.shape.name: large.shape for large in cases.LARGE}

        def megabytes(name, itemsize=4):
            shape = shapes[name]
            return shape.batch * shape.height * shape.width * shape.channels * itemsize / 2**20

        self.assertGreaterEqual(2 * megabytes("layer"), 16)
        self.assertGreaterEqual(megabytes("beyond", itemsize=2), 32)
        self.assertEqual(shapes["deep"].channels * 4 % 4096, 0)
        # Columns of a block, vectors of 64 bytes, and the rows that one row of the result needs.
        self.assertEqual(shapes["tall"].width % 128, 0)
        self.assertGreater(128 * 64 * shapes["tall"].filter_height, 2 * 2**20)

    def test_the_shape_of_the_overrun_is_there(self):
        (case,) = (
            case
            for case in cases.select(["float"], ["NHWC"], ["VALID"], sizes=[cases.LARGE_SIZE])
            if (case.op, case.stride, case.dilation) == ("filter_grad", (2, 2), (1, 1))
            and case.input_sizes == (32, 96, 96, 24)
        )
        self.assertEqual(case.filter_shape, (1, 1, 24, 2))

    def test_filters(self):
        selected = cases.select(dtypes=["half"], layouts=["NCHW"], paddings=["SAME", "VALID"])
        found = {(case.dtype, case.layout, case.padding) for case in selected}
        self.assertEqual(found, {("half", "NCHW", "SAME"), ("half", "NCHW", "VALID")})
        selected = cases.select(ops=["forward", "filter_grad"], orders=[2])
        found = {(case.op, case.order) for case in selected}
        self.assertEqual(found, {("forward", 2), ("filter_grad", 2)})
        for sizes, found in (([], {True, False}), (["small"], {False}), (["large"], {True})):
            selected = cases.select(["half"], ops=["forward"], sizes=sizes)
            self.assertEqual({case.is_large for case in selected}, found)

    @parameterized.parameters(True, False)
    def test_every_epilogue_meets_every_value(self, quick):
        fused = cases.select(epilogues=cases.EPILOGUES, quick=quick)
        every = cases.select(epilogues=(), quick=quick)
        self.assertLess(len(fused), 0.1 * len(every))
        self.assertEqual(set(every) - set(fused), set(cases.select(quick=quick)))
        self.assertEqual({(case.op, case.order) for case in fused}, {("forward", 0)})
        activations = {(case.epilogue.bias, case.activation) for case in fused}
        both = set(itertools.product((True, False), epilogue.ACTIVATIONS))
        self.assertEqual(activations, both - {(False, "linear")})
        axes = {"epilogue": cases.EPILOGUES} | cases.AXES
        for names in (
            ("epilogue", "dtype", "layout", "padding"),
            *itertools.combinations(axes, 2),
        ):
            found = {tuple(getattr(case, name) for name in names) for case in fused}
            self.assertEqual(found, set(itertools.product(*(axes[name] for name in names))))

    def test_large_shapes_meet_epilogues(self):
        fused = cases.select(epilogues=cases.EPILOGUES, sizes=[cases.LARGE_SIZE])
        self.assertEqual([case.shape for case in fused], [large.shape for large in cases.LARGE])
        self.assertEqual({case.activation for case in fused}, {*epilogue.ACTIVATIONS})

    def test_gradients_of_epilogues_are_no_cases(self):
        text = "forward:float:NHWC:b2:10x10x8m1:k3x3:s1x1:d1x1:SAME:bias+relu"
        case = cases.Case.of(problem.parse(text))
        self.assertEqual((case.id, case.options), (text, f"--case {text} --seed 0"))
        with self.assertRaisesRegex(ValueError, r"no gradients are judged: bias\+relu"):
            dataclasses.replace(case, order=1)

    @parameterized.parameters(*cases.DTYPES)
    def test_inputs_are_reproducible(self, dtype):
        case = cases.select(dtypes=[dtype])[0]
        for first, second in zip(case.inputs(), case.inputs(), strict=True):
            self.assertEqual(first.dtype, cases.DTYPES[dtype])
            self.assertEqual(first.tobytes(), second.tobytes())
            self.assertTrue((np.abs(first.astype(np.float64)) >= 0.5).all())


class VerdictsTest(tf.test.TestCase, parameterized.TestCase):
    def _judge(self, case, answer):
        answer = np.asarray(answer).astype(cases.DTYPES[case.dtype])
        return verdicts.judge(answer, case, verdicts.expectation(case))

    @parameterized.parameters(*cases.DTYPES)
    def test_the_rounded_reference_agrees(self, dtype):
        case = _case(f"{dtype}-NHWC-SAME-s1x1-d2x2-multiplier")
        outcome = self._judge(case, verdicts.expectation(case).value)
        self.assertEqual(outcome.verdict, Verdict.AGREES, outcome.message)
        self.assertLessEqual(outcome.ratio, 1)

    @parameterized.parameters(*cases.DTYPES)
    def test_one_element_outside_its_bound_is_found(self, dtype):
        case = _case(f"{dtype}-NCHW-SAME-s1x1-d2x2-multiplier")
        expected = verdicts.expectation(case)
        where = (1, 2, 3, 4)
        for loosest, factor, verdict in (
            (expected.bound, 0.5, Verdict.AGREES),
            (expected.bound_in_dtype, 3, Verdict.WRONG),
        ):
            answer = expected.value.copy()
            answer[where] += factor * loosest[where]
            outcome = self._judge(case, answer)
            self.assertEqual(outcome.verdict, verdict)
        self.assertEqual(outcome.where, where)
        self.assertGreater(outcome.error, outcome.bound)

    @parameterized.parameters(*cases.EPILOGUES)
    def test_an_epilogue_is_part_of_the_answer(self, finish):
        text = f"forward:float:NCHW:b2:10x10x8m1:k3x3:s1x1:d1x1:SAME:{finish}"
        case = cases.Case.of(problem.parse(text))
        value = verdicts.expectation(case).value
        self.assertEqual(self._judge(case, value).verdict, Verdict.AGREES)
        tensors = case.tensors()
        others = {cases.NO_EPILOGUE, *cases.EPILOGUES} - {finish}
        sums = reference.forward(tensors["input"], tensors["filter"], **case.attributes)
        bias = tensors.get("bias", np.ones(8))
        for other in others:
            answer = epilogue.apply(other, sums, bias, case.layout)
            self.assertEqual(self._judge(case, answer).verdict, Verdict.WRONG, other)

    @parameterized.parameters("bias", "bias+relu", "bias+relu6", "bias+elu")
    def test_stocks_fused_op_agrees(self, finish):
        if not test_util.IsMklEnabled():
            self.skipTest("TensorFlow does not fuse on this machine: oneDNN is off")
        text = f"forward:float:NHWC:b2:10x10x8m1:k3x3:s1x1:d1x1:VALID:{finish}"
        case = cases.Case.of(problem.parse(text))
        tensors = {role: tf.constant(array) for role, array in case.tensors().items()}
        answer = targets.load(targets.STOCK)["forward"](**case.arguments(tensors))
        self.assertEqual(self._judge(case, answer).verdict, Verdict.AGREES)

    @parameterized.parameters("half", "bfloat16")
    def test_sums_kept_in_the_dtype_are_imprecise(self, dtype):
        case = _case(f"{dtype}-NHWC-SAME-s1x1-d1x1-channel")
        filter, out_backprop = case.inputs()
        taps = np.zeros_like(filter)
        answer = np.zeros(case.input_sizes, cases.DTYPES[dtype])
        for index in np.ndindex(filter.shape):
            one = taps.copy()
            one[index] = filter[index]
            product = reference.input_grad(case.input_sizes, one, out_backprop, **case.attributes)
            answer += product.astype(answer.dtype)  # rounds each product and each sum
        self.assertEqual(self._judge(case, answer).verdict, Verdict.IMPRECISE)

    def test_wrong_sums_of_many_products_are_not_imprecise(self):
        case = next(c for c in cases.LARGE_CASES if c.op == "filter_grad" and c.dtype == "half")
        expected = verdicts.expectation(case)
        other = np.roll(expected.value, 1, axis=2)  # of the same size, and of no meaning here
        outcome = self._judge(case, other)
        self.assertEqual(outcome.verdict, Verdict.WRONG, outcome.message)

    @parameterized.parameters("float", "double")
    def test_a_missing_tap_is_wrong(self, dtype):
        case = _case(f"{dtype}-NHWC-SAME-s1x1-d1x2-plain")
        filter, out_backprop = case.inputs()
        filter[1, 1] = 0
        answer = reference.input_grad(case.input_sizes, filter, out_backprop, **case.attributes)
        self.assertEqual(self._judge(case, answer).verdict, Verdict.WRONG)

    @parameterized.product(op=cases.OPS, dtype=tuple(cases.DTYPES))
    def test_missing_products_are_seen(self, op, dtype):
        case = _case(f"{dtype}-NCHW-SAME-s1x1-d1x2-plain", op)
        tensors = case.tensors()
        tensors[reference.operands(op)[1]][1, 1, 2] = 0
        answer = getattr(reference, op)(**case.arguments(tensors))
        # A few of many could as well have been lost by rounding to bfloat16 again and again.
        few = op == "filter_grad" and ml_dtypes.finfo(cases.DTYPES[dtype]).nmant <= 7
        expected = Verdict.IMPRECISE if few else Verdict.WRONG
        self.assertEqual(self._judge(case, answer).verdict, expected)

    @parameterized.parameters(*cases.OPS)
    def test_the_worst_gradient_counts(self, op):
        case = _select(["float"], ["NHWC"], ["SAME"], op=op, order=2)[0]
        expected = verdicts.expectations(case)
        answers = [e.value.astype(np.float32) for e in expected]
        self.assertEqual(verdicts.judge_all(answers, case, expected).verdict, Verdict.AGREES)
        answers[2][:] += 1
        outcome = verdicts.judge_all(answers, case, expected)
        self.assertEqual(outcome.verdict, Verdict.WRONG)
        varied, role = reference.derivatives(op, 2)[2]
        self.assertStartsWith(outcome.message, f"gradient of {varied}'s gradient for {role}: ")

    @parameterized.parameters(np.nan, np.inf, -np.inf)
    def test_values_that_are_not_finite_are_wrong(self, value):
        case = _case("bfloat16-NHWC-SAME-s1x1-d1x1-plain")
        answer = verdicts.expectation(case).value.copy()
        answer[1, 0, 3, 2] = value
        outcome = self._judge(case, answer)
        self.assertEqual(outcome.verdict, Verdict.WRONG)
        self.assertEqual(outcome.where, (1, 0, 3, 2))
        self.assertIsNone(outcome.error)

    def test_other_dtypes_and_shapes_are_wrong(self):
        case = _case("float-NHWC-SAME-s1x1-d1x1-plain")
        expected = verdicts.expectation(case)
        for answer, text in (
            (expected.value, "dtype float64, expected float"),
            (expected.value[:1].astype(np.float32), "shape [1, 10, 10, 8]"),
        ):
            outcome = verdicts.judge(answer, case, expected)
            self.assertEqual(outcome.verdict, Verdict.WRONG)
            self.assertIn(text, outcome.message)

    def test_outcomes_survive_json(self):
        outcome = Outcome(Verdict.WRONG, "text", error=2.0, bound=1.0, where=(0, 1, 2, 3))
        self.assertEqual(Outcome.from_json(outcome.to_json()), outcome)


class CellTest(tf.test.TestCase):
    def _failures(self, *outcomes):
        cell = results.Cell(cases.CASES[0], {targets.OURS: list(outcomes)})
        cell.judge([targets.OURS])
        return [str(failure) for failure in cell.failures]

    def test_agreement_with_the_same_bits_passes(self):
        self.assertEmpty(self._failures(*[Outcome(Verdict.AGREES, digest="1")] * 2))

    def test_different_bits_fail(self):
        outcomes = [Outcome(Verdict.AGREES, digest=digest) for digest in "12"]
        self.assertEqual(self._failures(*outcomes), ["ours: two processes computed different bits"])

    def test_paths_that_must_have_the_same_bits(self):
        outcomes = {
            name: [Outcome(Verdict.AGREES, digest=digest)]
            for name, digest in (("eager", "1"), ("function", "1"), ("jit", "2"))
        }
        for same_bits, failures in (
            (True, ["jit: its bits are not those of eager"]),
            (False, []),
        ):
            cell = results.Cell(cases.CASES[0], outcomes)
            cell.judge(["eager", "function", "jit"], same_bits)
            self.assertEqual([*map(str, cell.failures)], failures)

    def test_the_worst_process_counts(self):
        outcomes = [Outcome(Verdict.AGREES, digest="1"), Outcome(Verdict.REFUSES, "no")]
        self.assertEqual(self._failures(*outcomes), ["ours: refuses: no"])


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
