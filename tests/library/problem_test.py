"""The text of a problem: Python and the library read, write and refuse the same."""

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import op_def_registry

from tf_dwbp import _native, explain, family
from tf_dwbp.fuzz import draw
from tf_dwbp.tools import epilogue, problem

_EXAMPLE = "input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME"
_FORWARD = _EXAMPLE.replace("input_grad", "forward")
_ACTIVATIONS = epilogue.ACTIVATIONS[1:]


class TextTest(tf.test.TestCase, parameterized.TestCase):
    """tf_dwbp/tools/problem.py and cc/conv/problem.cc."""

    def _echo(self, text):
        """The text that the library writes for the problem that it has read, None if it refuses."""
        status, said = _native.explain(text, 1)
        return None if status == _native.NO_PROBLEM else explain.read(said)["problem"]

    def test_both_write_and_read_the_same(self):
        for number in range(400):
            drawn = draw.case(11, number, draw.Filters()).problem
            echo = self._echo(str(drawn))
            self.assertEqual(echo, str(drawn))
            self.assertEqual(problem.parse(echo), drawn)

    def test_both_write_and_read_the_same_epilogues(self):
        forward = problem.parse(_FORWARD)
        for bias in (False, True):
            for activation in epilogue.ACTIVATIONS:
                for alpha in (0.2, -1e-7, 3.0, 12345.678) if activation == "leaky_relu" else (0,):
                    drawn = dataclasses.replace(
                        forward,
                        epilogue=epilogue.Epilogue(bias, activation, float(np.float32(alpha))),
                    )
                    self.assertEqual(self._echo(str(drawn)), str(drawn))
                    self.assertEqual(problem.parse(str(drawn)), drawn)

    @parameterized.parameters(
        _EXAMPLE.replace("b32", "b032"),
        _EXAMPLE.replace("b32:56x56x128m1", "b0:0x0x0m0"),
        _EXAMPLE.replace("b32:56x56x128", "b4294967296:56x56x1"),
        _EXAMPLE.replace("b32:56x56x128", "b1:2147483647x2x1"),
        _EXAMPLE.replace("s2x2:d1x1", "s2147483647x1:d1x2147483647"),
        _EXAMPLE.replace("SAME", "EXPLICIT(0,2147483647,0,0)").replace("b32", "b1"),
        *(
            f"{_FORWARD}:{epilogue}"
            for epilogue in (
                "bias",
                *(name for name in _ACTIVATIONS if name != "leaky_relu"),
                "bias+relu6",
                "leaky_relu(0.2)",
                "bias+leaky_relu(00.10)",
                "leaky_relu(-0)",
                "leaky_relu(-2.5)",
                "leaky_relu(0.0000125)",
                f"leaky_relu(0.{'0' * 40}1)",
                "leaky_relu(0.30000001192092896)",
            )
        ),
    )
    def test_accepted(self, text):
        self.assertEqual(self._echo(text), str(problem.parse(text)))

    @parameterized.parameters(
        "",
        _EXAMPLE[:-1],
        f" {_EXAMPLE}",
        f"{_EXAMPLE}\n",
        f"{_EXAMPLE}(1,1,1,1)",
        _EXAMPLE.replace("input_grad", "backward"),
        _EXAMPLE.replace("float", "int8"),
        _EXAMPLE.replace("float", "float32"),
        _EXAMPLE.replace("NHWC", "CHWN"),
        _EXAMPLE.replace("b32", "b-1"),
        _EXAMPLE.replace("b32", "b"),
        _EXAMPLE.replace("b32", "b9223372036854775808"),
        _EXAMPLE.replace("b32", "b٣"),  # a digit, in Arabic
        _EXAMPLE.replace("b32", "b9223372036854775807"),  # too many elements
        _EXAMPLE.replace("56x56", "2147483648x1"),
        _EXAMPLE.replace("m1:k3", "m4611686018427387904:k3"),
        _EXAMPLE.replace("m1", ""),
        _EXAMPLE.replace("k3x3", "k0x3"),
        _EXAMPLE.replace("k3x3", "k3x2147483648"),
        _EXAMPLE.replace("s2x2", "s0x2"),
        _EXAMPLE.replace("d1x1", "d1x2147483648"),
        _EXAMPLE.replace("SAME", "same"),
        _EXAMPLE.replace("SAME", "EXPLICIT"),
        _EXAMPLE.replace("SAME", "EXPLICIT(1,2,3)"),
        _EXAMPLE.replace("SAME", "EXPLICIT(1,2,3,-4)"),
        _EXAMPLE.replace("SAME", "EXPLICIT(1,2,3,2147483648)"),
        f"{_EXAMPLE}:relu",
        *(
            f"{_FORWARD}:{epilogue}"
            for epilogue in (
                "",
                "bias+",
                "bias+bias",
                "relu+bias",
                "+relu",
                "linear",
                "bias+linear",
                "Relu",
                "relu6()",
                "relu6(1)",
                "bias(1)",
                "bias:relu",
                "biasrelu",
                "relu\n",
                "leaky_relu",
                "leaky_relu()",
                "leaky_relu(1",
                "leaky_relu(1)x",
                "leaky_relu(.5)",
                "leaky_relu(5.)",
                "leaky_relu(+1)",
                "leaky_relu(1e3)",
                "leaky_relu(nan)",
                f"leaky_relu(1{'0' * 40})",
                f"leaky_relu(0.{'0' * 60}1)",
            )
        ),
    )
    def test_refused(self, text):
        with self.assertRaises(ValueError):
            problem.parse(text)
        self.assertIsNone(self._echo(text))

    def test_types_are_those_of_the_ops(self):
        for op in family.OPS.values():
            (types,) = (a for a in op_def_registry.get(op.ours).attr if a.name == "T")
            allowed = [tf.as_dtype(number) for number in types.allowed_values.list.type]
            expected = [tf.as_dtype(dtype) for dtype in problem.DTYPES.values()]
            self.assertCountEqual(allowed, expected)
            self.assertEqual(
                [tf.as_dtype(name) for name in problem.DTYPES], expected, "TensorFlow's names"
            )


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
