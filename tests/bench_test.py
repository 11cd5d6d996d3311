"""The benchmark: its shapes, its arithmetic, that both sides do the same, and its command line."""

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

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp import cli
from tf_dwbp.bench import limits, measure, peers, report, runner, shapes, worker
from tf_dwbp.bench.call import DTYPES, Call
from tf_dwbp.bench.results import Plan, Row, Run, Spread
from tf_dwbp.bench.shapes import Shape
from tf_dwbp.conformance import reference

_ROOT = pathlib.Path(__file__).resolve().parent.parent

PLAIN = Shape("plain", 2, 6, 7, 5, 3)
STRIDED = Shape("strided", 2, 6, 7, 5, 3, 2)  # SAME pads an even size unevenly
DILATED = Shape("dilated", 2, 7, 8, 5, 3, dilation=2)
MULTIPLIER = Shape("multiplier", 1, 6, 6, 3, 5, 2, depth_multiplier=2)

PLAN = Plan(peer="onednn", dtype="float32", layout="NHWC", threads=2, rounds=3)
MACHINE = {
    "cpu": "a processor",
    "threads": 2,
    "tensorflow": "2",
    "onednn": "1",
    "forced_cpu_isa": None,
}


def _skip_without(test, module):
    if not importlib.util.find_spec(module):
        test.skipTest(f"{module} is not installed")


def _measuring_children(process):
    """The ids of those of a process's children that measure; importing starts others."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    found = []
    for child in children.split():
        with contextlib.suppress(OSError):  # it has ended
            if b"tf_dwbp.bench.worker" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def _reference(call):
    filter, out_backprop = call.inputs()
    return reference.input_grad(
        call.input_sizes,
        filter.astype(np.float64),
        out_backprop.astype(np.float64),
        **call.attributes,
    )


class ShapesTest(tf.test.TestCase, parameterized.TestCase):
    def test_names_are_unique_and_find_their_shapes(self):
        names = [shape.name for shape in shapes.SHAPES]
        self.assertLen(set(names), len(names))
        for shape in shapes.SHAPES:
            self.assertEqual(shapes.named(shape.name), shape)

    def test_sizes(self):
        for shape in shapes.SHAPES:
            sizes = dataclasses.astuple(shape)[1:-1]
            self.assertGreaterEqual(min(sizes), 1, shape)
            # SAME padding of an even filter is not what models use, nor what PyTorch can express.
            self.assertEqual(shape.filter % 2, 1, shape)
            # Both sides, the copy and their results must fit into a laptop's memory.
            self.assertLess(Call(shape, "float64", "NHWC").moved_bytes, 500e6, shape)

    def test_the_core_shapes(self):
        core = [
            (s.batch, s.height, s.width, s.channels, s.depth_multiplier, s.filter, s.stride)
            for s in shapes.select(group="core")
        ]
        self.assertCountEqual(
            core,
            [
                (32, 112, 112, 32, 1, 3, 1),
                (32, 112, 112, 64, 1, 3, 2),
                (32, 56, 56, 128, 1, 3, 1),
                (32, 28, 28, 256, 1, 3, 1),
                (32, 14, 14, 512, 1, 3, 1),
                (32, 14, 14, 512, 1, 3, 2),
                (32, 7, 7, 1024, 1, 3, 1),
                (32, 56, 56, 144, 1, 3, 2),
                (32, 28, 28, 240, 1, 5, 1),
                (32, 14, 14, 672, 1, 5, 2),
                (32, 7, 7, 1152, 1, 5, 1),
                (32, 56, 56, 96, 1, 7, 1),
                (32, 14, 14, 384, 1, 7, 1),
                (1, 112, 112, 32, 1, 3, 1),
                (1, 14, 14, 512, 1, 3, 1),
                (8, 28, 28, 64, 4, 3, 1),
                (4, 19, 19, 728, 1, 3, 1),
                (8, 37, 41, 3, 1, 3, 1),
                (16, 23, 23, 50, 2, 5, 2),
            ],
        )

    def test_what_is_covered(self):
        def values(field):
            return {getattr(shape, field) for shape in shapes.SHAPES}

        self.assertContainsSubset({1, 8, 32}, values("batch"))
        self.assertContainsSubset({1, 3, 8}, values("channels"))
        self.assertContainsSubset({3, 5, 7}, values("filter"))
        self.assertContainsSubset({1, 2, 4, 6}, values("dilation"))
        for group in shapes.GROUPS:
            self.assertNotEmpty(shapes.select(group=group), group)

    def test_groups_follow_from_sizes(self):
        self.assertEqual(Shape("a", 32, 9, 9, 64, 3).groups, {"3x3-b32"})
        self.assertEqual(Shape("a", 32, 9, 9, 64, 3, dilation=2).groups, {"dilated"})
        self.assertEqual(
            Shape("a", 1, 9, 9, 24, 5, tags=("core",)).groups, {"batch1", "odd", "core"}
        )

    def test_select(self):
        found = shapes.select(["mobilenet_v1", "-s2"], "core")
        self.assertEqual(
            [shape.name for shape in found],
            ["mobilenet_v1-b32-112x112x64-k3-s2", "mobilenet_v1-b32-14x14x512-k3-s2"],
        )
        self.assertEqual(shapes.select(), list(shapes.SHAPES))


class CallTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(shape=(PLAIN, STRIDED, DILATED, MULTIPLIER), layout=("NHWC", "NCHW"))
    def test_agrees_with_the_reference(self, shape, layout):
        call = Call(shape, "float32", layout)
        expected = reference.out_backprop_shape(
            call.input_sizes, call.filter_shape, **call.attributes
        )
        self.assertEqual(call.out_backprop_shape, expected)
        # Of ones, each product adds 1 to the result.
        ones = reference.input_grad(
            call.input_sizes, np.ones(call.filter_shape), np.ones(expected), **call.attributes
        )
        self.assertEqual(call.products, np.sum(ones))

    def test_figures_by_hand(self):
        call = Call(Shape("", 1, 4, 4, 2, 3, 2), "float16", "NHWC")
        self.assertEqual(call.out_backprop_shape, (1, 2, 2, 2))
        self.assertEqual(call.moved_bytes, (4 * 4 * 2 + 2 * 2 * 2) * 2)
        # Along an axis the first output meets 3 pixels, the second 2 and the padding behind.
        self.assertEqual(call.products, 5 * 5 * 2)


class MeasureTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.now = 0.0
        self.order = []

    def _function(self, name, seconds):
        def run():
            self.now += seconds() if callable(seconds) else seconds
            if self.order[-1:] != [name]:
                self.order.append(name)

        return run

    def _alternate(self, functions, rounds, **options):
        return measure.alternate(functions, rounds, clock=lambda: self.now, **options)

    def test_finds_the_time_of_a_call(self):
        found = self._alternate(
            {"a": self._function("a", 0.001), "b": self._function("b", 0.3)}, rounds=5
        )
        self.assertAllClose(found, {"a": [0.001] * 5, "b": [0.3] * 5})

    def test_the_sides_take_turns(self):
        functions = {name: self._function(name, 0.01) for name in "abc"}
        self._alternate(functions, rounds=3)
        # First each is timed once, to see how many calls make a block.
        self.assertEqual("".join(self.order), "abc" + "abc" + "ba" + "bc")

    def test_the_lead_in_does_not_count(self):
        switched = 0.0

        def slow_at_first():  # as if the other side's threads took a core for 10 ms
            nonlocal switched
            if self.order[-1:] != ["a"]:
                switched = self.now
            return 0.005 if self.now - switched < 0.01 else 0.001

        functions = {"a": self._function("a", slow_at_first), "b": self._function("b", 0.01)}
        disturbed = self._alternate(functions, rounds=3)
        found = self._alternate(functions, rounds=3, lead_in=0.015)
        self.assertGreater(max(disturbed["a"]), 0.00101)
        self.assertAllClose(found["a"], [0.001] * 3)

    def test_what_takes_long_gets_fewer_rounds(self):
        self.assertLen(self._alternate({"a": self._function("a", 1.0)}, rounds=50)["a"], 5)
        self.assertLen(self._alternate({"a": self._function("a", 30.0)}, rounds=50)["a"], 3)
        self.assertLen(self._alternate({"a": self._function("a", 30.0)}, rounds=2)["a"], 2)


class LimitsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(1, 2, 3)
    def test_the_copy_copies_all(self, threads):
        copied = []

        def copyto(target, source):
            target[:] = source
            copied.append(target.nbytes)

        with mock.patch.object(np, "copyto", copyto):
            copy = limits.prepare_copy(2002, threads)
            del copied[:]
            copy()
        self.assertEqual(sum(copied), 1001)  # read once and written once

    def test_of_two_ways_the_faster_is_taken(self):
        with mock.patch.object(
            limits, "_fastest", lambda way, _: getattr(way, "func", None) is None
        ):
            self.assertIs(limits.prepare_copy(2000, 2).func, np.copyto)
        with mock.patch.object(limits, "_fastest", lambda way, _: hasattr(way, "func")):
            self.assertFalse(hasattr(limits.prepare_copy(2000, 2), "func"))

    def test_matmul_rate(self):
        with mock.patch.object(limits, "_fastest", return_value=0.5):
            self.assertEqual(limits.matmul_rate("float16"), 2 * 1024**3 / 0.5)


class ResultsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        faster = {"ours": [1.0, 2.0, 4.0], "onednn": [2.0, 6.0, 4.0], "copy": [0.5, 0.5, 1.0]}
        slower = {"ours": [1.0, 1.0, 1.0], "onednn": [0.5, 0.5, 0.5], "copy": [0.1, 0.1, 0.1]}
        self.run_ = Run(
            PLAN,
            [
                Row(PLAIN, faster),
                Row(STRIDED, slower),
                Row(DILATED, {"ours": [1.0], "copy": [1.0]}, {"onednn": "because"}),
            ],
            MACHINE,
            matmul_rate=1e12,
        )

    def test_quartiles_by_hand(self):
        self.assertEqual(Spread.of([5, 1, 2, 4, 3]), Spread(3, 2, 4))
        self.assertEqual(Spread.of([1, 2]), Spread(1.5, 1.25, 1.75))
        self.assertEqual(Spread.of([7]), Spread(7, 7, 7))

    def test_ratios_are_of_pairs(self):
        row = self.run_.rows[0]
        self.assertEqual(row.ratio("onednn"), Spread(2, 1.5, 2.5))  # of 2, 3 and 1
        self.assertEqual(row.time("ours"), Spread(2, 1.5, 3))

    def test_what_was_not_measured_is_none(self):
        self.assertIsNone(self.run_.rows[2].ratio("onednn"))
        self.assertIsNone(self.run_.rows[2].time("onednn"))
        self.assertIsNone(self.run_.share_of_matmul(Row(PLAIN, {})))

    def test_summary_by_hand(self):
        found = self.run_.summary("onednn")
        self.assertEqual((found.count, found.worst, found.worst_shape), (2, 0.5, STRIDED))
        self.assertAllClose(found.mean, 1.0)  # the square root of 2 * 0.5
        dilated = self.run_.summary("copy", "dilated")
        self.assertEqual((dilated.count, dilated.mean), (1, 1.0))
        self.assertIsNone(self.run_.summary("onednn", "dilated"))

    def test_share_of_matmul_by_hand(self):
        # Per axis 3 taps an output, less 1 at either end; ours takes 2 s.
        products = 2 * 5 * (3 * 6 - 2) * (3 * 7 - 2)
        self.assertAlmostEqual(
            self.run_.share_of_matmul(self.run_.rows[0]) * 1e12, 2 * products / 2
        )

    def test_json_round_trip(self):
        again = Run.from_json(json.loads(json.dumps(self.run_.to_json(), allow_nan=False)))
        self.assertEqual(again, self.run_)

    def test_json_has_the_figures(self):
        data = self.run_.to_json()
        self.assertEqual(data["summary"]["onednn"]["all"]["worst_shape"], STRIDED.name)
        self.assertEqual(data["rows"][0]["ratios"]["onednn"]["median"], 2)
        self.assertEqual(data["rows"][2]["refusals"], {"onednn": "because"})
        self.assertNotIn("onednn", data["rows"][2]["ratios"])

    def test_the_report_has_every_row_and_reason(self):
        for width in (80, 120):
            console = rich.console.Console(
                file=io.StringIO(), width=width, force_terminal=True, color_system=None
            )
            report.show(self.run_, console)
            text = console.file.getvalue()
            for row in self.run_.rows:
                self.assertIn(row.shape.name, text)
            self.assertIn("[1] onednn: because", text)
            self.assertIn("matmul 1000 GFLOP/s", text)
            self.assertEqual("(1.50–2.50)" in text, width == 120)

    def test_the_widest_row_fits_a_terminal(self):
        longest = max(shapes.SHAPES, key=lambda shape: len(shape.name))
        seconds = {"ours": [0.1234] * 3, "onednn": [1.234] * 3, "copy": [0.01] * 3}
        run = dataclasses.replace(self.run_, rows=[Row(longest, seconds)])
        for width in (80, 120):
            console = rich.console.Console(file=io.StringIO(), width=width)
            console.print(report._rows_table(run, str, spreads=width == 120))
            text = console.file.getvalue()
            self.assertIn(longest.name, text)
            self.assertNotIn("…", text)
            self.assertLessEqual(max(map(len, text.splitlines())), width)
            self.assertLen([line for line in text.splitlines() if "123" in line], 1)


class PeersTest(tf.test.TestCase, parameterized.TestCase):
    """Each side's answer is the reference's: what is compared is one task."""

    def _assert_right(self, prepare, call):
        side = prepare(call, 1)
        answer = side.to_array(side.run())
        self.assertEqual(answer.dtype, DTYPES[call.dtype])
        tolerance = {"float64": 1e-13, "float32": 1e-5, "float16": 2e-2, "bfloat16": 2e-1}
        self.assertAllClose(
            answer.astype(np.float64), _reference(call), rtol=0, atol=tolerance[call.dtype]
        )

    @parameterized.product(
        shape=(PLAIN, STRIDED, DILATED, MULTIPLIER), layout=("NHWC", "NCHW"), dtype=list(DTYPES)
    )
    def test_ours(self, shape, layout, dtype):
        self._assert_right(peers.prepare_ours, Call(shape, dtype, layout))

    @parameterized.product(shape=(PLAIN, STRIDED, MULTIPLIER), dtype=list(DTYPES))
    def test_stock(self, shape, dtype):
        self._assert_right(peers.PEERS["onednn"].prepare, Call(shape, dtype, "NHWC"))
        self._assert_right(peers.PEERS["eigen"].prepare, Call(shape, dtype, "NHWC"))

    def test_stock_refuses_what_it_would_get_wrong(self):
        with self.assertRaisesRegex(peers.Refused, "ignores dilations"):
            peers.PEERS["onednn"].prepare(Call(DILATED, "float32", "NHWC"), 1)

    @parameterized.parameters(PLAIN, STRIDED, DILATED, MULTIPLIER)
    def test_xla(self, shape):
        self._assert_right(peers.PEERS["xla"].prepare, Call(shape, "float32", "NHWC"))

    @parameterized.parameters("NHWC", "NCHW")
    def test_xla_layouts(self, layout):
        self._assert_right(peers.PEERS["xla"].prepare, Call(STRIDED, "bfloat16", layout))

    @parameterized.product(dtype=list(DTYPES), dilation=(2, 3))
    def test_space_to_batch(self, dtype, dilation):
        shape = dataclasses.replace(DILATED, dilation=dilation)
        self._assert_right(peers.PEERS["dilated"].prepare, Call(shape, dtype, "NHWC"))

    def test_space_to_batch_computes_what_the_tape_does(self):
        call = Call(DILATED, "float32", "NHWC")
        filter, out_backprop = (tf.constant(array) for array in call.inputs())
        image = tf.ones(call.input_sizes)
        with tf.GradientTape() as tape:
            tape.watch(image)
            out = tf.nn.depthwise_conv2d(image, filter, [1] * 4, "SAME", dilations=[2, 2])
        expected = tape.gradient(out, image, out_backprop)
        self.assertAllEqual(peers.PEERS["dilated"].prepare(call, 1).run(), expected)

    def test_space_to_batch_refuses_strides(self):
        shape = dataclasses.replace(DILATED, stride=2)
        with self.assertRaisesRegex(peers.Refused, "no stride"):
            peers.PEERS["dilated"].prepare(Call(shape, "float32", "NHWC"), 1)

    @parameterized.product(
        shape=(PLAIN, STRIDED, DILATED, MULTIPLIER), layout=("NHWC", "NCHW"), dtype=list(DTYPES)
    )
    def test_torch(self, shape, layout, dtype):
        _skip_without(self, "torch")
        self._assert_right(peers.PEERS["torch"].prepare, Call(shape, dtype, layout))

    def test_torch_cannot_pad_unevenly_at_stride_1(self):
        _skip_without(self, "torch")
        shape = dataclasses.replace(PLAIN, filter=2)
        with self.assertRaisesRegex(peers.Refused, "cannot express"):
            peers.PEERS["torch"].prepare(Call(shape, "float32", "NHWC"), 1)

    def test_torch_can_express_every_shape(self):
        _skip_without(self, "torch")
        import torch

        small = (dataclasses.replace(shape, batch=1, channels=1) for shape in shapes.SHAPES)
        threads = torch.get_num_threads()
        for shape in small:
            peers.PEERS["torch"].prepare(Call(shape, "float32", "NHWC"), threads)


class DisagreementTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.call = Call(DILATED, "float32", "NHWC")
        self.right = _reference(self.call).astype(np.float32)

    def test_roundings_agree(self):
        self.assertIsNone(
            worker.disagreement(self.call, self.right, self.right * np.float32(1 + 2e-7))
        )

    def test_stock_with_dilations_does_not(self):
        filter, out_backprop = self.call.inputs()
        stock = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=self.call.input_sizes,
            filter=filter,
            out_backprop=out_backprop,
            **self.call.attributes,
        )
        self.assertIn("differs", worker.disagreement(self.call, self.right, stock.numpy()))

    def test_one_element_or_nan_is_enough(self):
        for wrong in (self.right[0, 0, 0, 0] + 0.01, np.nan):
            answer = self.right.copy()
            answer[0, 0, 0, 0] = wrong
            self.assertIn("differs", worker.disagreement(self.call, self.right, answer))

    def test_shapes_must_agree(self):
        self.assertIn("shape", worker.disagreement(self.call, self.right, self.right[:1]))

    def test_a_peer_that_disagrees_is_not_timed(self):
        wrong = peers.Peer("wrong", lambda call, _: peers.Side(lambda: np.zeros(call.input_sizes)))
        with mock.patch.dict(peers.PEERS, onednn=wrong):
            row = worker.measure_row(dataclasses.replace(PLAN, rounds=1), PLAIN)
        self.assertEqual(set(row.seconds), {"ours", "copy"})
        self.assertIn("differs", row.refusals["onednn"])


_WORKER = """
    import json, os, sys, time
    def send(**message):
        os.write(int(sys.argv[1]), (json.dumps(message) + chr(10)).encode())
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
        program = textwrap.dedent(_WORKER).replace("MISFORTUNE", misfortune)
        directory = tempfile.mkdtemp(dir=self.get_temp_dir())
        path = pathlib.Path(directory, "a_worker.py")
        path.write_text(program.replace("ROWS", repr(rows)))
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
        return text, Run.from_json(json.loads(path.read_text()))

    @parameterized.parameters(
        ("onednn", {"ours", "onednn", "copy"}, "1"),
        ("eigen", {"ours", "eigen", "copy"}, "0"),
        ("copy", {"ours", "copy"}, "1"),
    )
    def test_end_to_end(self, peer, sides, onednn):
        text, run = self._measure("--peer", peer, "--shapes", self.SHAPE, "--threads", "1")
        [row] = run.rows
        self.assertEqual(set(row.seconds), sides)
        self.assertEqual(row.refusals, {})
        self.assertGreater(min(min(blocks) for blocks in row.seconds.values()), 0)
        self.assertGreater(run.matmul_rate, 0)
        self.assertEqual((run.machine["onednn"], run.machine["threads"]), (onednn, 1))
        self.assertIn(row.shape.name, text)

    def test_torch_end_to_end(self):
        _skip_without(self, "torch")
        _, run = self._measure("--peer", "torch", "--shapes", self.SHAPE)
        self.assertEqual(set(run.rows[0].seconds), {"ours", "torch", "copy"})
        self.assertIn("torch", run.machine)

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

    @parameterized.parameters("png", "svg")
    def test_plot(self, suffix):
        _skip_without(self, "matplotlib")
        seconds = {"ours": [2e-3], "onednn": [1e-3], "copy": [1e-4]}
        rows = [Row(PLAIN, seconds), Row(DILATED, {"ours": [1e-3]}, {"onednn": "because"})]
        saved, drawn = self.directory / "saved.json", self.directory / f"plot.{suffix}"
        Run(PLAN, rows, MACHINE, 1.0).save(saved)
        self._bench("--load", str(saved), "--plot", str(drawn))
        if suffix == "png":
            width, height, _ = tf.io.decode_png(drawn.read_bytes()).shape[1::-1] + (3,)
            self.assertEqual((width, height), (1600, 1000))
        else:
            self.assertIn("<svg", drawn.read_text())

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
        (["--op", "forward"], r"--op: invalid choice: 'forward' .*input_grad"),
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
        (["--load", __file__], r"--load: .*bench_test.py is not what --json writes"),
    )
    def test_usage_errors(self, arguments, pattern):
        self.assertRegex(self._usage_error(*arguments).replace("\n", " "), pattern)

    def test_json_of_something_else_is_refused(self):
        for number, data in enumerate(([], {}, {"plan": {}}, {"plan": 1})):
            path = self.directory / f"{number}.json"
            path.write_text(json.dumps(data))
            self.assertIn("is not what --json writes", self._usage_error("--load", str(path)))

    def test_what_is_missing_is_said_before_anything_is_measured(self):
        with mock.patch.object(importlib.util, "find_spec", return_value=None):
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
            [sys.executable, "-m", "tf_dwbp", "bench"], cwd=_ROOT, stderr=subprocess.PIPE, text=True
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
