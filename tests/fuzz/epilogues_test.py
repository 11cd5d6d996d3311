"""The fuzzer's calls with an epilogue: drawn, made, judged and made smaller."""

import dataclasses
import itertools
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_dwbp.fuzz import calls, draw, judge, metamorphic, shrink
from tf_dwbp.fuzz.case import INTEGERS, KINDS, REAL, Case
from tf_dwbp.fuzz.ways import Ways
from tf_dwbp.tools import epilogue, operands, problem, targets

_FILTERS = draw.Filters(ops=("forward",), epilogues=True)
_SMALL = "forward:float:NHWC:b2:5x6x3m2:k3x2:s1x1:d1x1:SAME"


def _answer(case, arrays):
    function = targets.load(targets.OURS)["forward"]
    arguments = case.problem.arguments(calls.operands(case, arrays))
    return operands.as_array(function(**arguments))


class EpiloguesTest(tf.test.TestCase):
    def test_drawn_for_our_forward_op_alone(self):
        drawn = [draw.case(5, n, _FILTERS).problem for n in range(200)]
        self.assertBetween(sum(bool(p.epilogue) for p in drawn), 60, 140)
        self.assertEqual({p.epilogue.activation for p in drawn}, set(epilogue.ACTIVATIONS))
        self.assertEqual({p.epilogue.bias for p in drawn if p.epilogue}, {True, False})
        others = [draw.case(5, n, draw.Filters(epilogues=True)).problem for n in range(100)]
        self.assertFalse(any(p.epilogue for p in others if p.op != "forward"))
        without = [draw.case(5, n, draw.Filters(ops=("forward",))).problem for n in range(200)]
        self.assertFalse(any(p.epilogue for p in without))

    def test_right_answers_are_right_and_others_are_not(self):
        for dtype, layout, activation, bias, data in itertools.product(
            problem.DTYPES, problem.LAYOUTS, epilogue.ACTIVATIONS, (True, False), KINDS
        ):
            finish = epilogue.Epilogue(bias, activation, 0.25 if activation == "leaky_relu" else 0)
            case = Case(
                dataclasses.replace(
                    problem.parse(_SMALL), dtype=dtype, layout=layout, epilogue=finish
                ),
                data,
                seed=3,
            )
            arrays = case.tensors()
            expected, answer = judge.expected(case, arrays), _answer(case, arrays)
            self.assertEqual(expected.fault(answer), "", str(case))
            if data == REAL:
                for where in ((0, 0, 0, 0), (1, -1, -1, -1)):
                    wrong = np.array(answer)
                    wrong[where] = float(wrong[where]) * 1.02 + 0.01
                    self.assertNotEqual(expected.fault(wrong), "", str(case))

    def test_only_what_is_exact_is_compared_by_bits(self):
        for activation in epilogue.ACTIVATIONS:
            finish = epilogue.Epilogue(True, activation)
            case = Case(
                dataclasses.replace(problem.parse(_SMALL), epilogue=finish), INTEGERS, seed=1
            )
            self.assertEqual(case.exact, activation in ("linear", "relu", "relu6"))
            self.assertEmpty(metamorphic.relations(case, case.tensors(), several=True))

    def test_made_again_from_its_text(self):
        for number in range(40):
            case = draw.case(9, number, _FILTERS)
            self.assertEqual(Case.from_json(case.to_json()), case)

    def test_made_smaller(self):
        case = Case(problem.parse(f"{_SMALL}:bias+gelu"), REAL, seed=1)
        ways = Ways((None,), (1,), (targets.EAGER,), (None,))
        for fails, left in (
            (lambda finish: True, ""),
            (lambda finish: finish.bias, "bias"),
            (lambda finish: finish.activation == "gelu", "gelu"),
        ):
            smaller, _ = shrink.shrink(
                case, ways, lambda case, _, fails=fails: fails(case.problem.epilogue)
            )
            self.assertEqual(str(smaller.problem.epilogue), left)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
