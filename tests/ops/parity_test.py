"""The matrix's quick cut: our ops, with their gradients, against the reference.

`tf-dwbp conformance` runs the whole matrix, and stock TensorFlow's ops besides.
"""

import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp.conformance import cases, paths, runner
from tf_dwbp.conformance.verdicts import Verdict


class ParityTest(tf.test.TestCase, parameterized.TestCase):
    def test_right_in_every_cell(self):
        # One run for all ops: starting its processes takes longer than most ops' cells.
        selected = cases.select(quick=True)
        self.assertEqual({case.op for case in selected}, set(cases.OPS))
        run = runner.run(selected, stock=False)
        self.assertEqual(run.judged, ["ours eager"])
        self.assertEqual(run.counts("ours eager"), {Verdict.AGREES: len(selected)})
        self.assertEmpty([(cell.case.id, *map(str, cell.failures)) for cell in run.failing])
        # Both processes computed each cell, to the same bits.
        for cell in run.cells:
            self.assertLen(cell.outcomes["ours eager"], 2)

    @parameterized.parameters(*cases.OPS)
    def test_the_reference_agrees_with_stock_where_stock_is_right(self, op):
        # An oracle that agrees with nobody else would prove nothing.
        selected = [
            case
            for case in cases.select(["float"], ["NHWC"], ["SAME", "VALID"], ops=[op], orders=[0])
            if case.stride in ((1, 1), (2, 2)) and not case.dilated and case.shape.name == "plain"
        ]
        run = runner.run(selected, xla=False)
        for path in (paths.EIGEN, paths.ONEDNN):
            self.assertEqual(run.counts(path), {Verdict.AGREES: len(selected)})


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
