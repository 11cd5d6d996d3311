"""TF_DWBP_VERBOSE=1 tells of each call, and TF_DWBP_IMPL forces who computes it.

Each in a process of its own: the library reads both once.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
from tf_dwbp import _native
from tf_dwbp.tools import problem

_ROOT = pathlib.Path(tf_dwbp.__file__).parent.parent
_FORWARD = "forward:float:NHWC:b2:9x8x64m1:k3x3:s1x1:d1x1:SAME"
_INPUT_GRAD = "input_grad:double:NHWC:b2:9x8x64m1:k3x2:s2x2:d1x1:EXPLICIT(1,2,0,3)"
_FILTER_GRAD = "filter_grad:half:NHWC:b2:9x8x64m1:k3x3:s1x1:d1x1:VALID"
_NCHW = "forward:bfloat16:NCHW:b1:6x7x3m2:k3x3:s2x1:d1x2:SAME"
_PROBLEMS = (_FORWARD, _INPUT_GRAD, _FILTER_GRAD, _NCHW)

_LINE = re.compile(r"tf_dwbp,cpu,(\w+),(\w+),([^\s]+),(\d+\.\d{3}) ms")

# Calls each problem in each way, and prints what came of it. Integers, so that all sums are exact.
_PROGRAM = """
    import json, sys
    import numpy as np
    import tensorflow as tf
    from tf_dwbp.tools import problem, reference, targets

    functions = targets.load(targets.OURS)

    def call(text, execution):
        described = problem.parse(text)
        random = np.random.default_rng(0)
        dtype = problem.DTYPES[described.dtype]
        tensors = {
            role: random.integers(-3, 4, described.shapes[role]).astype(dtype)
            for role in described.operands
        }
        arguments = described.arguments({k: tf.constant(v) for k, v in tensors.items()})
        sizes = {k: v for k, v in arguments.items() if not isinstance(v, tf.Tensor)}
        given = {k: v for k, v in arguments.items() if isinstance(v, tf.Tensor)}

        def made(given):
            return functions[described.op](**sizes, **given)

        if execution != "eager":
            made = tf.function(made, jit_compile=execution == "jit", autograph=False)
        try:
            answer = made(given).numpy()
        except Exception as error:
            return [type(error).__name__, str(error)]
        right = reference.member(
            described.result, tensors, described.input_sizes, described.filter_sizes,
            **described.attributes,
        )
        return ["right" if np.array_equal(answer, right.astype(dtype)) else "wrong", ""]

    executions, problems = json.loads(sys.argv[1])
    print(json.dumps([call(text, execution) for execution in executions for text in problems]))
"""


def _run(executions, problems, **environment):
    """What came of each call, and what stood on standard error."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_PROGRAM), json.dumps([executions, problems])],
        cwd=_ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    told = [line for line in run.stderr.splitlines() if line.startswith("tf_dwbp,")]
    return [tuple(found) for found in json.loads(run.stdout)], told


def _executions():
    return ["eager", "function"] + (["jit"] if tf_dwbp.build_info()["xla"] else [])


class VerboseTest(tf.test.TestCase, parameterized.TestCase):
    def test_a_line_for_each_call(self):
        executions = _executions()
        found, told = _run(executions, _PROBLEMS, TF_DWBP_VERBOSE="1")
        self.assertEqual(found, [("right", "")] * len(executions) * len(_PROBLEMS))
        lines = [_LINE.fullmatch(line).groups() for line in told]
        self.assertEqual([text for _, _, text, _ in lines], [*_PROBLEMS] * len(executions))
        for isa, implementation, text, _ in lines:
            described = problem.parse(text)
            self.assertIn(isa, tf_dwbp.build_info()["cpu_isas"])
            status, explained = _native.explain(text, 1)
            self.assertEqual(status, _native.EXPLAINED)
            self.assertIn(f"\nimplementation: {implementation}\n", explained)
            self.assertIn(implementation, _native.implementations()[described.op])

    @parameterized.parameters({}, {"TF_DWBP_VERBOSE": ""}, {"TF_DWBP_VERBOSE": "0"})
    def test_nothing_when_off(self, **environment):
        found, told = _run(["eager"], [_FORWARD], **environment)
        self.assertEqual((found, told), ([("right", "")], []))


class ForcedTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters("direct", "packed", "tapwise")
    def test_who_is_forced_computes_or_the_call_fails(self, name):
        executions = _executions()
        empty = _FORWARD.replace("b2", "b0")  # there is nothing to force
        texts = [*_PROBLEMS, empty]
        found, told = _run(executions, texts, TF_DWBP_IMPL=name, TF_DWBP_VERBOSE="1")
        asked = [text for _ in executions for text in texts]
        lines = {}
        for line in told:
            _, implementation, text, _ = _LINE.fullmatch(line).groups()
            lines.setdefault(text, set()).add(implementation)
        takes = 0
        for text, (kind, message) in zip(asked, found, strict=True):
            if text == empty:
                self.assertEqual(kind, "right")
                self.assertEqual(lines[text], {"zeros"})
            elif kind == "InvalidArgumentError":
                self.assertIn(f"TF_DWBP_IMPL is '{name}', which does not compute {text}: ", message)
                for other in _native.implementations()[problem.parse(text).op]:
                    self.assertRegex(message, rf"\b{other} (takes it|declines: \w)")
                self.assertNotIn(text, lines)
            else:
                self.assertEqual(kind, "right", (text, message))
                self.assertEqual(lines[text], {name})
                takes += 1
        expected = {"direct": 3, "packed": 4, "tapwise": 1}  # of the four, in each execution
        self.assertEqual(takes, expected[name] * len(executions))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
