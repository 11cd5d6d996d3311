"""The whole matrix: our op against the reference, beside stock TensorFlow's two CPU paths.

`tf-dwbp conformance` runs the same matrix with stock under XLA besides.
"""

import itertools
import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp.conformance import cases, runner, targets
from tf_dwbp.conformance.verdicts import Verdict


class ParityTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*itertools.product(cases.DTYPES, cases.LAYOUTS))
    def test_right_in_every_cell(self, dtype, layout):
        selected = cases.select(dtypes=[dtype], layouts=[layout])
        run = runner.run(selected, jit=False)
        self.assertEqual(run.judged, [targets.OURS])
        self.assertEqual(run.counts(targets.OURS), {Verdict.AGREES: len(selected)})
        self.assertEmpty([(cell.case.id, *map(str, cell.failures)) for cell in run.failing])
        # An oracle that agrees nowhere would prove nothing.
        stock = (targets.EIGEN, targets.ONEDNN)
        self.assertGreater(max(run.counts(path).get(Verdict.AGREES, 0) for path in stock), 0)
        # Both processes computed each cell, to the same bits.
        for cell in run.cells:
            self.assertLen(cell.outcomes[targets.OURS], 2)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
