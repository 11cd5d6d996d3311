"""The conformance run: processes that do anything are verdicts, and nothing of them is left."""

import os
import pathlib
import sys
import textwrap
from unittest import mock

import pytest
import tensorflow as tf
from absl.testing import parameterized

import lone_worker
from tf_dwbp.conformance import cases, paths, runner, summary
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.tools import placement, targets


def _select(*filters, op="input_grad", order=0, **more):
    return cases.select(*filters, ops=[op], orders=[order], **more)


# Behaves by stride, so that one run shows every verdict.
_TARGETS = """
    import os
    import time
    import numpy as np
    import tensorflow as tf
    from tf_dwbp import ops
    from tf_dwbp.tools import reference

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
        directory = self.get_temp_dir()
        path = os.pathsep.join([directory, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.enter_context(mock.patch.dict(os.environ, {"PYTHONPATH": path}))
        self._write_module("some_targets", textwrap.dedent(_TARGETS))

    def _write_module(self, name, text):
        """Where workers find it."""
        folder = pathlib.Path(self.get_temp_dir())
        (folder / f"{name}.py").write_text(text, encoding="utf-8")

    def _run_quickly(self, selected, target):
        """In processes that need no TensorFlow, which takes seconds to load."""
        place = placement.Placement(arrays=targets.NUMPY)
        return runner.run(selected, target, stock=False, placement=place)

    def _run_with_worker(self, deal_with_job, selected, *arguments, **options):
        """A run whose workers deal with jobs in another way."""
        program = """
            send(ready=True)
            for job in channel:
        """
        dealing = textwrap.indent(textwrap.dedent(deal_with_job), " " * 4)
        self._write_module("some_worker", lone_worker.PREAMBLE + textwrap.dedent(program) + dealing)
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
        self.assertEqual(run.counts(paths.XLA), {Verdict.AGREES: 5})
        self.assertEqual(run.counts(paths.ONEDNN), {Verdict.AGREES: 5})
        self.assertEqual(run.counts(paths.EIGEN), {Verdict.AGREES: 3, Verdict.REFUSES: 2})

    @parameterized.parameters("sys.exit(3)", "raise KeyboardInterrupt", "os._exit(0)", "0 / 0")
    def test_targets_that_fail_to_load(self, line):
        name = f"target_{abs(hash(line))}"
        self._write_module(name, f"import os, sys\n{line}\n")
        with self.assertRaisesRegex(runner.UnusableTarget, name if "os." not in line else "dies"):
            self._run_quickly(cases.CASES[:1], f"{name}:f")

    def test_large_cases_are_asked_of_what_is_judged_in_one_process(self):
        selected = [*cases.LARGE_CASES[:3], *_select(quick=True)[:2]]
        run = self._run_with_worker(
            """
            for case in job["cases"]:
                send(case=case, outcome={"verdict": "agrees"})
            """,
            selected,
            executions=targets.EXECUTIONS,
        )
        for cell in run.cells:
            if cell.case.is_large:
                asked = {f"ours {execution}": 1 for execution in targets.EXECUTIONS}
                self.assertEqual({p: len(o) for p, o in cell.outcomes.items()}, asked)
            else:
                self.assertContainsSubset({paths.EIGEN, paths.XLA}, cell.outcomes)
        tables = {table.title: table for table in summary.tables(run)}
        self.assertEqual([*tables["real sizes"].lanes], ["ours"])
        # Combinations that are not there are empty.
        table = tables["real sizes"]
        texts = {
            summary.Tally.of(table.groups[row, column], table.lanes["ours"]).text
            for row in table.rows
            for column in table.columns
        }
        self.assertEqual(texts, {"✓", ""})

    def test_a_target_that_always_dies_is_given_up(self):
        self._write_module("exits", "import os\ndef f(**arguments): os._exit(3)\n")
        selected = _select(["float"], ["NHWC"], ["SAME"], quick=True)[:4]
        with mock.patch.dict(runner._GIVE_UP_AFTER, {Verdict.DIES: 2}):
            run = self._run_quickly(selected, "exits:f")
        counts = run.counts("f eager")
        self.assertEqual(sum(counts.values()), 4)
        self.assertContainsSubset({Verdict.DIES, Verdict.SKIPPED}, counts)
        died = [cell.outcome("f eager") for cell in run.cells]
        self.assertTrue(any(outcome.message.startswith("exit status 3") for outcome in died))
        self.assertLen(run.failing, 4)

    @parameterized.parameters(("", Verdict.AGREES), ("the user's --xla_cpu_", Verdict.DIES))
    def test_flags_that_this_version_of_xla_does_not_know_cost_no_verdict(self, users, verdict):
        worker = """
            unknown = [flag for flag in os.environ["XLA_FLAGS"].split() if "xla_cpu_" in flag]
            if unknown:
                text = " ".join(["F flags.cc:225] Unknown flags in XLA_FLAGS:", *unknown])
                os.write(2, text.encode())
                os.abort()
            for case in job["cases"]:
                send(case=case, outcome={"verdict": "agrees"})
        """
        selected = _select(["float"], ["NHWC"], ["SAME"], quick=True)[:3]
        with mock.patch.dict(os.environ, XLA_FLAGS=users):
            run = self._run_with_worker(worker, selected, stock=False)
        self.assertEqual(run.counts("ours eager"), {verdict: 3})

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
        by_id = {cell.case.id: cell.outcome(paths.XLA).verdict for cell in run.cells}
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
