"""`tf-dwbp explain` tells what the library would do."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
from tf_dwbp import _native, cli

_ROOT = pathlib.Path(tf_dwbp.__file__).parent.parent
_EXAMPLE = "input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME"
_GENERAL = "filter_grad:half:NCHW:b2:9x8x5m3:k3x2:s2x1:d1x3:EXPLICIT(1,2,3,4)"


def _run(*arguments, **environment):
    """The program in a process of its own, since TF_DWBP_IMPL is read once."""
    return subprocess.run(
        [sys.executable, "-m", "tf_dwbp", "explain", *arguments],
        cwd=_ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        encoding="utf-8",
    )


class ExplainTest(tf.test.TestCase, parameterized.TestCase):
    def _explain(self, *arguments):
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            self.assertEqual(cli.main(["explain", *arguments]), 0)
        return stdout.getvalue()

    def test_lines(self):
        lines = self._explain(_EXAMPLE, "--threads", "3").splitlines()
        found = {line[:16].strip(): line[16:] for line in lines if line[:16].strip()}
        self.assertEqual(
            list(found),
            [
                "problem",
                "device",
                "implementation",
                "plan",
                "workspace",
                "in and out",
                "arithmetic",
                "others",
            ],
        )
        self.assertEqual(found["problem"], _EXAMPLE)
        self.assertRegex(found["device"], "^cpu, [a-z0-9]+, 3 workers$")
        self.assertEqual(found["implementation"], "direct")
        elements = 32 * 56 * 56 * 128 + 32 * 28 * 28 * 128 + 9 * 128
        self.assertEqual(found["in and out"], f"{4 * elements:,} bytes")
        flops = 2 * 32 * 28 * 28 * 128 * 9
        self.assertEqual(found["arithmetic"], f"{flops:,} flops, 0.9 a byte")
        self.assertStartsWith(found["others"], "zeros ")

    def test_json(self):
        found = json.loads(self._explain(_GENERAL, "--json"))
        self.assertEqual(found["problem"], _GENERAL)
        self.assertGreater(found["workspace_bytes"], 0)
        elements = 2 * 9 * 8 * 5 + 3 * 2 * 5 * 3 + 2 * 5 * 12 * 15
        self.assertEqual((found["bytes"], found["flops"]), (2 * elements, 2 * 2 * 5 * 12 * 15 * 6))
        names = _native.implementations()["filter_grad"]
        self.assertCountEqual([found["implementation"], *found["others"]], names)
        self.assertIn("declines, since", found["others"]["direct"])

    def test_nothing_to_compute(self):
        found = json.loads(self._explain(_EXAMPLE.replace("b32", "b0"), "--json"))
        self.assertEqual((found["implementation"], found["flops"]), ("zeros", 0))
        self.assertIn("b0", self._explain(_EXAMPLE.replace("b32:56x56x128", "b0:0x0x0")))

    @parameterized.parameters("", "x", _EXAMPLE.replace("float", "int8"), "✓")
    def test_what_is_no_problem(self, text):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), self.assertRaises(SystemExit) as exit:
            cli.main(["explain", text])
        self.assertEqual(exit.exception.code, 2)
        self.assertRegex(stderr.getvalue(), r"\Atf-dwbp explain: .+\n\Z")

    def test_a_forced_implementation(self):
        run = _run(_EXAMPLE, "--json", TF_DWBP_IMPL="packed")
        self.assertEqual(run.returncode, 0, run.stderr)
        found = json.loads(run.stdout)
        self.assertEqual(found["implementation"], "packed")
        self.assertIn("is not the one that TF_DWBP_IMPL names", found["others"]["direct"])

        run = _run(_EXAMPLE, TF_DWBP_IMPL="tapwise")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("none, since TF_DWBP_IMPL is 'tapwise', which does not compute", run.stdout)

        run = _run(_EXAMPLE, TF_DWBP_IMPL="fastest")
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        last = run.stderr.splitlines()[-1]  # TensorFlow's own come before
        self.assertStartsWith(last, "tf-dwbp: TF_DWBP_IMPL is 'fastest', but the implementations")
        self.assertIn("direct, packed", last)

    def test_long_texts_come_whole(self):
        text = _EXAMPLE + "x" * 10000
        status, error = _native.explain(text, 1)
        self.assertEqual(status, _native.NO_PROBLEM)
        self.assertIn(f"SAME{10000 * 'x'}", error)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
