"""The benchmark's processes and its command line."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from unittest import mock

import pytest
import tensorflow as tf
from absl.testing import parameterized

import lone_worker
from bench_cases import DILATED, MACHINE, PLAIN, PLAN, skip_without
from tf_dwbp import cli
from tf_dwbp.bench import frameworks, measure, peers, runner, shapes, worker
from tf_dwbp.bench.call import OPS
from tf_dwbp.bench.contender import Contender
from tf_dwbp.bench.results import Row, Run

_ROOT = pathlib.Path(__file__).absolute().parents[2]


_TEXT = "forward:float:NHWC:b1:4x4x2m1:k3x3:s1x1:d1x1:SAME"


def _measuring_children(process):
    """The ids of those of a process's children that measure; importing starts others."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(
        encoding="utf-8"
    )
    found = []
    for child in children.split():
        with contextlib.suppress(OSError):  # it has ended
            if b"tf_dwbp.bench.worker" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


_WORKER = """
    import json
    send(machine={"threads": json.loads(sys.argv[2])["threads"]}, matmul_rate=1.0)
    for name in sys.argv[3:]:
        send(begin=name)
        if "b1-" in name:
            print("some last words")
            MISFORTUNE
        row = ROWS[name]
        send(row=row)
    send(matmul_rate=2.0)
"""


class RunnerTest(tf.test.TestCase, parameterized.TestCase):
    def _run(self, selected, misfortune):
        """A run whose process is a program that does not measure, and fails at batch 1."""
        rows = {shape.name: Row(shape, {"ours": [1.0]}).to_json() for shape in selected}
        program = lone_worker.PREAMBLE + textwrap.dedent(_WORKER).replace("MISFORTUNE", misfortune)
        directory = tempfile.mkdtemp(dir=self.get_temp_dir())
        path = pathlib.Path(directory, "a_worker.py")
        path.write_text(program.replace("ROWS", repr(rows)), encoding="utf-8")
        heard = []
        with (
            mock.patch.object(runner, "_WORKER_MODULE", "a_worker"),
            mock.patch.dict(os.environ, PYTHONPATH=directory),
        ):
            run = runner.run(PLAN, selected, lambda *heard_of: heard.append(heard_of))
        return run, heard

    def test_rows_in_order_and_the_best_rate(self):
        selected = shapes.select(["mobilenet_v1-b32", "-s2"])
        run, heard = self._run(selected, "")
        self.assertEqual([row.shape for row in run.rows], selected)
        self.assertEqual(run.matmul_rate, 2.0)
        self.assertEqual(run.machine, {"threads": 2})
        self.assertEqual(heard[0], (selected[0].name, 0, 2))
        self.assertEqual(heard[-1][1:], (2, 2))

    def test_a_death_costs_one_row(self):
        selected = shapes.select(["mobilenet_v1"], "core")
        run, _ = self._run(selected, "os.abort()")
        self.assertEqual([row.shape for row in run.rows], selected)
        dead = [row for row in run.rows if row.refusals]
        self.assertEqual([row.shape for row in dead], [s for s in selected if s.batch == 1])
        self.assertNotEmpty(dead)
        for reason in dead[0].refusals.values():
            self.assertIn("SIGABRT\nsome last words", reason)
        self.assertEqual(set(dead[0].refusals), {"ours", "onednn"})

    def test_silence_is_a_death(self):
        selected = shapes.select(["mobilenet_v1", "14x14"], "core")
        with mock.patch.object(runner, "LIMIT_SECONDS", 2):
            run, _ = self._run(selected, "time.sleep(1000)")
        self.assertIn("no answer within 2 s", run.rows[-1].refusals["ours"])
        self.assertEqual([row.refusals for row in run.rows[:-1]], [{}, {}])

    def test_a_process_that_cannot_start(self):
        with (
            mock.patch.object(runner, "_WORKER_MODULE", "no_such_module"),
            self.assertRaisesRegex(runner.Failed, "exit status 1\n.*no_such_module"),
        ):
            runner.run(PLAN, shapes.select(group="quick"))


class CommandTest(tf.test.TestCase, parameterized.TestCase):
    SHAPE = "few_channels-b32-28x28x1"

    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))

    def _bench(self, *arguments):
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            status = cli.main(["bench", *arguments])
        self.assertEqual(status, 0)
        return stdout.getvalue()

    def _measure(self, *arguments):
        path = self.directory / "run.json"
        text = self._bench("--rounds", "1", "--json", str(path), *arguments)
        return text, Run.from_json(json.loads(path.read_text(encoding="utf-8")))

    def test_a_problem_of_ones_own(self):
        text = "filter_grad:half:NCHW:b2:9x8x3m2:k3x2:s2x1:d1x2:EXPLICIT(1,2,3,0)"
        printed, run = self._measure("--case", text, "--peer", "copy", "--threads", "1")
        (row,) = run.rows
        self.assertEqual((row.shape.name, row.refusals), (text, {}))
        self.assertEqual(str(run.call(row).problem), text)
        self.assertIn(text, printed)
        again = self._bench("--load", str(self.directory / "run.json"))
        self.assertEqual(again, printed)

    @parameterized.parameters(
        ("onednn", {"ours", "onednn", "copy"}, "1"),
        ("eigen", {"ours", "eigen", "copy"}, "0"),
        ("relu", {"ours", "relu", "copy"}, "1"),
        ("copy", {"ours", "copy"}, "1"),
    )
    def test_end_to_end(self, peer, contenders, onednn):
        text, run = self._measure("--peer", peer, "--shapes", self.SHAPE, "--threads", "1")
        [row] = run.rows
        self.assertEqual(set(row.seconds), contenders)
        self.assertEqual(row.refusals, {})
        self.assertGreater(min(min(blocks) for blocks in row.seconds.values()), 0)
        self.assertGreater(run.matmul_rate, 0)
        self.assertEqual((run.machine["onednn"], run.machine["threads"]), (onednn, 1))
        self.assertIn(row.shape.name, text)

    @parameterized.parameters("onednn", "copy")
    def test_cold(self, peer):
        text, run = self._measure("--peer", peer, "--shapes", self.SHAPE, "--cold")
        self.assertEqual(run.rows[0].refusals, {})
        self.assertTrue(run.plan.cold)
        self.assertIn("input_grad, float32 NHWC, other tensors each time: tf_dwbp and ", text)

    @parameterized.parameters(*OPS)
    def test_every_op(self, op):
        text, run = self._measure("--op", op, "--shapes", self.SHAPE)
        self.assertEqual(set(run.rows[0].seconds), {"ours", "onednn", "copy"})
        self.assertEqual(run.plan.op, op)
        self.assertIn(f"{op}, float32 NHWC", text)

    @parameterized.parameters((["--peer", "copy"],), (["--cold"],))
    def test_epilogue(self, options):
        arguments = ["--op", "forward", "--epilogue", "bias+relu6", "--shapes", self.SHAPE]
        text, run = self._measure(*arguments, *options)
        self.assertEqual(run.plan.epilogue, "bias+relu6")
        self.assertEqual(run.rows[0].refusals, {})
        self.assertIn("forward with bias+relu6, float32 NHWC", text)

    def test_epilogue_of_a_case(self):
        _, run = self._measure("--case", f"{_TEXT}:relu", "--peer", "copy")
        self.assertEqual(run.plan.epilogue, "relu")

    def test_seconds_are_those_of_one_call(self):
        plan = dataclasses.replace(PLAN, op="forward", epilogue="bias", rounds=1, peer="copy")
        contender = Contender(lambda: [], lambda _: [], calls=4)
        with (
            mock.patch.object(peers, "prepare_ours", return_value=contender),
            mock.patch.object(measure, "alternate", return_value={"ours": [8.0], "copy": [8.0]}),
        ):
            row = worker.measure_row(plan, PLAIN)
        self.assertEqual(row.seconds, {"ours": [2.0], "copy": [8.0]})

    @parameterized.parameters("xla", "ours-function")
    @pytest.mark.xla
    def test_ours_under_jit(self, peer):
        options = ["--shapes", self.SHAPE, "--layout", "NCHW", "--execution", "jit"]
        text, run = self._measure("--peer", peer, *options)
        self.assertEqual(set(run.rows[0].seconds), {"ours", peer, "copy"})
        self.assertEqual(run.plan.execution, "jit")
        self.assertIn("tf_dwbp (jit) and ", text)

    def test_torch_end_to_end(self):
        skip_without(self, "torch")
        _, run = self._measure("--peer", "torch", "--shapes", self.SHAPE)
        self.assertEqual(set(run.rows[0].seconds), {"ours", "torch", "copy"})
        self.assertStartsWith(run.machine["peer"], "PyTorch ")

    def test_what_stock_refuses_is_a_reason_in_the_report(self):
        text, run = self._measure("--peer", "eigen", "--shapes", self.SHAPE, "--layout", "NCHW")
        self.assertIn("only supported for NHWC", run.rows[0].refusals["eigen"])
        self.assertEqual(set(run.rows[0].seconds), {"ours", "copy"})
        self.assertIn("[1] eigen: UnimplementedError: ", text)

    def test_only_dilated_shapes_meet_the_dilated_peer(self):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            _, run = self._measure("--peer", "dilated", "--quick")
        self.assertEqual([row.shape for row in run.rows], shapes.select(["-d"], "quick"))
        self.assertIn("7 shapes without dilation are left out", stderr.getvalue())

    def test_a_saved_run_can_be_shown_again(self):
        text, _ = self._measure("--peer", "copy", "--shapes", self.SHAPE)
        self.assertEqual(self._bench("--load", str(self.directory / "run.json")), text)

    def test_texts_say_how_ours_is_called(self):
        skip_without(self, "matplotlib")
        saved, drawn = self.directory / "saved.json", self.directory / "plot.svg"
        plan = dataclasses.replace(PLAN, peer="ours-eager", execution="function")
        rows = [Row(PLAIN, {"ours": [1e-3], "ours-eager": [2e-3], "copy": [1e-4]})]
        Run(plan, rows, MACHINE, 1.0).save(saved)
        with mock.patch.dict("matplotlib.rcParams", {"svg.fonttype": "none"}):  # texts as such
            text = self._bench("--load", str(saved), "--plot", str(drawn))
        self.assertIn("tf_dwbp (function) and tf_dwbp (eager)", text)
        self.assertIn(
            "tf_dwbp (function) is 2.00 times as fast as tf_dwbp", drawn.read_text(encoding="utf-8")
        )

    @parameterized.parameters("png", "svg")
    def test_plot(self, suffix):
        skip_without(self, "matplotlib")
        seconds = {"ours": [2e-3], "onednn": [1e-3], "copy": [1e-4]}
        rows = [Row(PLAIN, seconds), Row(DILATED, {"ours": [1e-3]}, {"onednn": "because"})]
        saved, drawn = self.directory / "saved.json", self.directory / f"plot.{suffix}"
        Run(PLAN, rows, MACHINE, 1.0).save(saved)
        self._bench("--load", str(saved), "--plot", str(drawn))
        if suffix == "png":
            width, height, _ = tf.io.decode_png(drawn.read_bytes()).shape[1::-1] + (3,)
            self.assertEqual((width, height), (1600, 1000))
        else:
            self.assertIn("<svg", drawn.read_text(encoding="utf-8"))

    def _usage_error(self, *arguments):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), self.assertRaises(SystemExit) as exit:
            cli.main(["bench", *arguments])
        self.assertEqual(exit.exception.code, 2)
        return stderr.getvalue()

    @parameterized.parameters(
        (["--dtype", "int8"], r"--dtype: invalid choice: 'int8' .*float32.*float64"),
        (["--layout", "CHWN"], r"--layout: invalid choice: 'CHWN' .*NHWC.*NCHW"),
        (["--peer", "jax"], r"--peer: invalid choice: 'jax' .*onednn.*copy"),
        (["--execution", "graph"], r"--execution: invalid choice: 'graph' .*eager.*jit"),
        (["--op", "gradient"], r"--op: invalid choice: 'gradient' .*input_grad"),
        (["--case", "forward"], r"--case: 'forward' is no problem such as"),
        (["--case", _TEXT, "--group", "core"], r"not allowed with"),
        (["--case", _TEXT, "--op", "filter_grad"], r"--op has no place beside it"),
        (["--case", _TEXT, "--train"], r"--case has no place beside --train"),
        (["--epilogue", "bias"], r"--epilogue is the forward op's: add --op forward"),
        (["--epilogue", "relu7"], r"--epilogue: epilogue must be bias, one of relu, .*'relu7'"),
        (["--case", f"{_TEXT}:relu", "--peer", "ort"], r"--peer ort has no op with an epilogue"),
        (["--case", f"{_TEXT}:relu", "--execution", "jit"], r"--execution has no place beside"),
        (["--case", _TEXT, "--epilogue", "bias"], r"--epilogue has no place beside it"),
        (["--epilogue", "bias", "--train"], r"--epilogue has no place beside --train"),
        (["--group", "all"], r"--group: invalid choice: 'all' .*core.*quick"),
        (["--quick", "--group", "core"], r"not allowed with"),
        (["--threads", "0"], r"--threads: '0' is not a whole number of at least 1"),
        (["--rounds", "-1"], r"--rounds: '-1' is not a whole number of at least 1"),
        (["--rounds", "many"], r"--rounds: 'many' is not a whole number of at least 1"),
        (["--shapes", "resnet"], r"--shapes resnet;.*mobilenet_v1-b32-.*convnext_t"),
        (["--shapes", "b32", "--group", "batch1"], r"the group batch1 .*--shapes b32"),
        (["--peer", "dilated", "--group", "core"], r"--peer dilated is for dilated shapes"),
        (["--json", "/no/such/place/file"], r"--json: cannot write /no/such/place/file"),
        (["--load", "/no/such/file"], r"--load: cannot read /no/such/file"),
        (["--load", __file__], r"--load: .*command_test.py is not what --json writes"),
    )
    def test_usage_errors(self, arguments, pattern):
        # The same error also where none of the peers is installed.
        with mock.patch.object(frameworks, "_is_there", return_value=False):
            self.assertRegex(self._usage_error(*arguments).replace("\n", " "), pattern)

    def test_json_of_something_else_is_refused(self):
        for number, data in enumerate(([], {}, {"plan": {}}, {"plan": 1})):
            path = self.directory / f"{number}.json"
            path.write_text(json.dumps(data), encoding="utf-8")
            self.assertIn("is not what --json writes", self._usage_error("--load", str(path)))

    def test_what_is_missing_is_said_before_anything_is_measured(self):
        with mock.patch.object(
            importlib.util,
            "find_spec",
            side_effect=lambda name, *_: None if name in ("torch", "matplotlib") else True,
        ):
            self.assertRegex(
                self._usage_error("--peer", "torch"), "--peer torch: .*pip install torch"
            )
            self.assertIn("pip install matplotlib", self._usage_error("--plot", "a.png"))

    def test_the_plots_format_must_be_known(self):
        with mock.patch.object(importlib.util, "find_spec", return_value=True):
            self.assertIn("'a.gif' ends in none of .png", self._usage_error("--plot", "a.gif"))

    def test_our_failure_is_the_exit_status(self):
        saved = self.directory / "saved.json"
        rows = [Row(PLAIN, {"copy": [1.0]}, {"ours": "it failed"})]
        Run(PLAN, rows, MACHINE, 1.0).save(saved)
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            self.assertEqual(cli.main(["bench", "--load", str(saved)]), 1)
        self.assertIn("ours: it failed", stdout.getvalue())

    def test_interrupting_ends_the_process_that_measures(self):
        process = subprocess.Popen(
            [sys.executable, "-m", "tf_dwbp", "bench"],
            cwd=_ROOT,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            # Where the tests run in the background, Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while not (measuring := _measuring_children(process)) and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEndsWith(stderr, "interrupted\n")
        with self.assertRaises(ProcessLookupError):
            os.kill(measuring[0], 0)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
