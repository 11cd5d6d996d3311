"""The benchmark: its shapes, its arithmetic and its report."""

import dataclasses
import io
import json
import sys
import weakref
from unittest import mock

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from absl.testing import parameterized

from bench_cases import DILATED, MACHINE, MULTIPLIER, PLAIN, PLAN, STRIDED
from tf_dwbp.bench import limits, measure, report, shapes
from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Contender, with_copies
from tf_dwbp.bench.results import Row, Run
from tf_dwbp.bench.shapes import Shape
from tf_dwbp.tools import reference
from tf_dwbp.tools.statistics import Spread


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
            # Both contenders, the copy and their results must fit into a laptop's memory.
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
        self.assertLessEqual(np.max(ones), call.terms("input_grad"))
        for op, steps in (("forward", 1), ("filter_grad", 1), ("backward", 2)):
            other = dataclasses.replace(call, op=op)
            self.assertEqual(other.products, steps * call.products)
            self.assertEqual(other.moved_bytes, steps * call.moved_bytes)

    def test_figures_by_hand(self):
        call = Call(Shape("", 1, 4, 4, 2, 3, 2), "float16", "NHWC")
        self.assertEqual(call.out_backprop_shape, (1, 2, 2, 2))
        self.assertEqual(call.moved_bytes, (4 * 4 * 2 + 2 * 2 * 2) * 2)
        # Along an axis the first output meets 3 pixels, the second 2 and the padding behind.
        self.assertEqual(call.products, 5 * 5 * 2)
        self.assertEqual(call.terms("forward"), 9)
        self.assertEqual(call.terms("filter_grad"), 4)
        self.assertEqual(
            {role: array.shape for role, array in call.tensors().items()},
            {"input": (1, 4, 4, 2), "filter": (3, 3, 2, 1), "output": (1, 2, 2, 2)},
        )


class ColdCallTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters((PLAIN, 128), (dataclasses.replace(PLAIN, channels=2**20), 2))
    def test_copies_fill_the_caches_but_for_tiny_calls(self, shape, count):
        cold = Call(shape, "float32", "NHWC", cold=True)
        self.assertLen(cold.copies, count)
        self.assertLen(set(cold.copies), count)
        self.assertEqual({copy.first for copy in cold.copies}, {Call(shape, "float32", "NHWC")})

    def test_as_many_as_fill_them(self):
        cold = Call(Shape("", 32, 56, 56, 128, 3), "float32", "NHWC", cold=True)
        self.assertGreaterEqual(len(cold.copies) * cold.moved_bytes, 256 << 20)
        self.assertLess((len(cold.copies) - 1) * cold.moved_bytes, 256 << 20)

    def test_contenders_take_turns_and_keep_their_results(self):
        class Result:
            pass

        ran = []

        @with_copies
        def prepare(call, threads, option):
            self.assertEqual((threads, option, call.cold), (3, "an option", False))

            def run():
                ran.append(call.copy)
                return [Result()]

            return Contender(run, lambda results: [call.copy, *results])

        cold = Call(PLAIN, "float32", "NHWC", cold=True)
        count = len(cold.copies)
        contender = prepare(cold, 3, option="an option")
        alive = []
        for turn in range(count + 1):
            results = contender.run()
            self.assertEqual(contender.to_arrays(results), [turn % count, *results])
            alive.append(weakref.ref(results[0]))
            del results
        self.assertEqual(ran, [*range(count), 0])
        self.assertEqual([ref() is None for ref in alive], [True] + [False] * count)
        prepare(dataclasses.replace(cold, cold=False, copy=5), 3, option="an option").run()
        self.assertEqual(ran[-1], 5)


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

        def slow_at_first():  # as if the other contender's threads took a core for 10 ms
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
        for fastest in ("alone", "together"):
            with mock.patch.object(
                limits, "_fastest", lambda way, _, fastest=fastest: way.__name__ != fastest
            ):
                self.assertEqual(limits.prepare_copy(2000, 2).__name__, fastest)

    @parameterized.parameters(1, 2)
    def test_other_memory_each_time(self, threads):
        begun = []

        def copyto(target, source):
            begun.append((target.ctypes.data, source.ctypes.data))

        copy = limits.prepare_copy(2002, threads, copies=3)
        with mock.patch.object(np, "copyto", copyto):
            for _ in range(6):
                copy()
        parts = len(begun) // 6
        self.assertEqual(begun[: 3 * parts], begun[3 * parts :])
        self.assertLen(set(begun), 3 * parts)

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


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
