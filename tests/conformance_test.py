"""The conformance suite itself: what its matrix covers, and that it tells right from wrong."""

import itertools
import os
import pathlib
import sys
import textwrap
from unittest import mock

import lone_worker
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp.conformance import cases, reference, results, runner, summary, targets, verdicts
from tf_dwbp.conformance.verdicts import Outcome, Verdict

_AXES = {
    "op": cases.OPS,
    "dtype": cases.DTYPES,
    "layout": cases.LAYOUTS,
    "padding": cases.PADDINGS,
    "shape": cases.SHAPES,
    "stride": cases.STRIDES,
    "dilation": cases.DILATIONS,
}


def _case(name, op="input_grad"):
    return next(case for case in cases.CASES if case.id == f"{op}-{name}")


def _select(*filters, op="input_grad", order=0, **more):
    return cases.select(*filters, ops=[op], orders=[order], **more)


class CasesTest(tf.test.TestCase, parameterized.TestCase):
    def test_ids_are_unique_and_readable(self):
        self.assertLen({case.id for case in cases.CASES}, len(cases.CASES))
        self.assertEqual(_case("float-NHWC-SAME-s2x1-d1x2-odd").dilation, (1, 2))

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

    def test_filters(self):
        selected = cases.select(dtypes=["half"], layouts=["NCHW"], paddings=["SAME", "VALID"])
        found = {(case.dtype, case.layout, case.padding) for case in selected}
        self.assertEqual(found, {("half", "NCHW", "SAME"), ("half", "NCHW", "VALID")})
        selected = cases.select(ops=["forward", "filter_grad"], orders=[2])
        found = {(case.op, case.order) for case in selected}
        self.assertEqual(found, {("forward", 2), ("filter_grad", 2)})

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
        few = op == "filter_grad" and dtype == "bfloat16"
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


# Behaves by stride, so that one run shows every verdict.
_TARGETS = """
    import os
    import time
    import numpy as np
    import tensorflow as tf
    from tf_dwbp import ops
    from tf_dwbp.conformance import reference

    def moody(input_sizes, filter, out_backprop, strides, **attributes):
        right = reference.input_grad(
            input_sizes, filter.numpy(), out_backprop.numpy(), strides, **attributes
        ).astype("float32")
        print("prints on standard output", flush=True)
        match tuple(strides[1:3]):
            case (2, 2):
                raise ValueError("not today")
            case (3, 3):
                os.write(2, b"a last word\\n")
                os.abort()
            case (2, 1):
                time.sleep(10**6)
            case (1, 3):
                return right + 0.01
        return right

    def unreproducible(input_sizes, filter, out_backprop, strides, **attributes):
        right = reference.input_grad(
            input_sizes, filter.numpy(), out_backprop.numpy(), strides, **attributes
        ).astype("float32")
        if os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1":
            right[0, 4, 4, 0] = np.nextafter(right[0, 4, 4, 0], np.float32(0))
        return right

    def exits(**arguments):
        os._exit(3)

    def by_execution(**arguments):
        right = ops.depthwise_conv2d_backprop_input(**arguments)
        if tf.executing_eagerly():
            return right
        return right + tf.numpy_function(lambda: np.float32(1), [], tf.float32)  # not for XLA

    def half_a_gradient(input, filter, **attributes):
        @tf.custom_gradient
        def convolve(input, filter):
            def grad(upstream):
                sizes = tf.shape(input)
                right = ops.depthwise_conv2d_backprop_input(sizes, filter, upstream, **attributes)
                return right, None
            return ops.depthwise_conv2d(input, filter, **attributes), grad
        return convolve(input, filter)

    not_a_function = 7
"""


class RunnerTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        directory = pathlib.Path(self.get_temp_dir())
        (directory / "some_targets.py").write_text(textwrap.dedent(_TARGETS))
        path = os.pathsep.join([str(directory), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.enter_context(mock.patch.dict(os.environ, {"PYTHONPATH": path}))

    def _run_with_worker(self, deal_with_job, selected, *arguments, **options):
        """A run whose workers deal with jobs in another way."""
        program = """
            send(ready=True)
            for job in channel:
        """
        directory = pathlib.Path(os.environ["PYTHONPATH"].split(os.pathsep)[0])
        (directory / "some_worker.py").write_text(
            lone_worker.PREAMBLE
            + textwrap.dedent(program)
            + textwrap.indent(textwrap.dedent(deal_with_job), " " * 4)
        )
        with mock.patch.object(runner, "_WORKER_MODULE", "some_worker"):
            return runner.run(selected, *arguments, **options)

    def test_every_verdict(self):
        selected = [
            case
            for case in _select(["float"], ["NHWC"], ["SAME"])
            if case.shape.name == "plain" and not case.dilated
        ]
        run = runner.run(selected, "some_targets:moody", limit_seconds=20)
        found = {cell.case.stride: cell.outcome("moody eager") for cell in run.cells}
        self.assertEqual(
            {stride: outcome.verdict for stride, outcome in found.items()},
            {
                (1, 1): Verdict.AGREES,
                (2, 2): Verdict.REFUSES,
                (3, 3): Verdict.DIES,
                (2, 1): Verdict.HANGS,
                (1, 3): Verdict.WRONG,
            },
        )
        self.assertEqual(found[2, 2].message, "ValueError: not today")
        self.assertStartsWith(found[3, 3].message, "SIGABRT")
        self.assertIn("a last word", found[3, 3].message)
        self.assertLen(run.failing, 4)
        self.assertEqual(run.judged, ["moody eager"])
        # The others were judged in the same processes, and in those started after these.
        self.assertEqual(run.counts(targets.XLA), {Verdict.AGREES: 5})
        self.assertEqual(run.counts(targets.ONEDNN), {Verdict.AGREES: 5})
        self.assertEqual(run.counts(targets.EIGEN), {Verdict.AGREES: 3, Verdict.REFUSES: 2})

    def test_a_target_that_always_dies_is_given_up(self):
        selected = _select(["float"], ["NHWC"], ["SAME"], quick=True)[:4]
        with mock.patch.dict(runner._GIVE_UP_AFTER, {Verdict.DIES: 2}):
            run = runner.run(selected, "some_targets:exits")
        counts = run.counts("exits eager")
        self.assertEqual(sum(counts.values()), 4)
        self.assertContainsSubset({Verdict.DIES, Verdict.SKIPPED}, counts)
        died = [cell.outcome("exits eager") for cell in run.cells]
        self.assertTrue(any(outcome.message.startswith("exit status 3") for outcome in died))
        self.assertLen(run.failing, 4)

    def test_a_batch_that_kills_is_asked_one_by_one(self):
        selected = [case for case in _select()[:20] if not case.dilated]
        victim = selected[3].id
        run = self._run_with_worker(
            f"""
            if job["execution"] == "jit":
                send(begin=job["cases"])
                if {victim!r} in job["cases"]:
                    os.abort()
            for case in job["cases"]:
                send(case=case, outcome={{"verdict": "agrees"}})
            """,
            selected,
        )
        by_id = {cell.case.id: cell.outcome(targets.XLA).verdict for cell in run.cells}
        self.assertEqual(by_id.pop(victim), Verdict.DIES)
        self.assertEqual(set(by_id.values()), {Verdict.AGREES})

    def test_executions(self):
        selected = _select(["float"], ["NHWC"], ["SAME"], quick=True)[:3]
        run = runner.run(
            selected, "some_targets:by_execution", executions=targets.EXECUTIONS, stock=False
        )
        counts = {name: run.counts(f"by_execution {name}") for name in targets.EXECUTIONS}
        self.assertEqual(
            counts,
            {
                "eager": {Verdict.AGREES: 3},
                "function": {Verdict.WRONG: 3},
                "jit": {Verdict.REFUSES: 3},
            },
        )
        self.assertEqual(run.lanes, {"by_execution": run.paths})
        # The worst of them is what a table shows of the cells.
        outcome = run.cells[0].outcome(*run.lanes["by_execution"])
        self.assertEqual(outcome.verdict, Verdict.WRONG)
        *_, table = summary.tables(run)
        self.assertEqual([*table.lanes], ["eager", "function", "jit"])

    @parameterized.parameters((None, 2), ("some_targets:by_execution", 0))
    def test_our_ops_must_have_the_same_bits_in_all_executions(self, target, failing):
        run = self._run_with_worker(
            """
            for case in job["cases"]:
                digest = "of jit" if job["execution"] == "jit" else "of others"
                send(case=case, outcome={"verdict": "agrees", "digest": digest})
            """,
            cases.CASES[:2],
            target,
            executions=targets.EXECUTIONS,
            stock=False,
        )
        failures = [str(failure) for cell in run.failing for failure in cell.failures]
        self.assertEqual(failures, ["ours jit: its bits are not those of ours eager"] * failing)

    def test_bits_that_differ_between_processes_fail(self):
        selected = _select(["float"], ["NHWC"], ["SAME"], quick=True)[:1]
        run = runner.run(selected, "some_targets:unreproducible")
        self.assertEqual(run.counts("unreproducible eager"), {Verdict.AGREES: 1})
        self.assertIn("different bits", str(run.failing[0].failures[0]))

    @parameterized.parameters((0, Verdict.AGREES, ""), (1, Verdict.REFUSES, "no gradient"))
    def test_gradients_are_judged(self, order, verdict, text):
        (case,) = _select(["float"], ["NHWC"], ["SAME"], op="forward", order=order, quick=True)[:1]
        (cell,) = runner.run([case], "some_targets:half_a_gradient").cells
        self.assertEqual(cell.outcome("half_a_gradient eager").verdict, verdict)
        self.assertIn(text, cell.outcome("half_a_gradient eager").message)

    def test_stock_is_left_out(self):
        selected = _select(["float"], ["NHWC"], ["SAME"], quick=True)
        run = runner.run(selected, stock=False)
        self.assertEqual(run.paths, ["ours eager"])
        self.assertEqual(run.counts("ours eager"), {Verdict.AGREES: len(selected)})

    @parameterized.parameters(
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("some_targets:nothing", "has no attribute 'nothing'"),
        ("some_targets:not_a_function", "not a function"),
    )
    def test_targets_that_cannot_be_used(self, target, text):
        with self.assertRaisesRegex(runner.UnusableTarget, text):
            runner.run(cases.CASES[:1], target)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
