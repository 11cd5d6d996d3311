"""The package as TF_DWBP_NATIVE=0 builds it: it judges others, and says why it has no ops."""

import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from unittest import mock

import pytest
from absl.testing import absltest, parameterized

import package_copy
from tf_dwbp import cli

_TARGET = """
import numpy as np
import tensorflow as tf
from tf_dwbp.tools import reference

def right(input_sizes, filter, out_backprop, strides, **attributes):
    result = reference.input_grad(
        input_sizes, filter.numpy(), out_backprop.numpy(), strides, **attributes
    )
    return tf.constant(result, filter.dtype)

def wrong(**arguments):
    return right(**arguments) * 2
"""
_CASE = "input_grad:float:NHWC:b1:4x4x2m1:k3x3:s1x1:d1x1:SAME"
_WITHOUT = "built with TF_DWBP_NATIVE=0, without the ops' library: "
_LINE = f"tf-dwbp: tf_dwbp was {_WITHOUT}"
_HIDDEN = "import sys; sys.modules['tensorflow'] = None; "


class WithoutLibraryTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self._folder = pathlib.Path(folder.name)
        package_copy.describe(package_copy.make(self._folder), native=False)
        (self._folder / "a_target.py").write_text(_TARGET, encoding="utf-8")

    def _python(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self._folder,
            env=os.environ
            | {"PYTHONPATH": str(self._folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
            | environment,
            capture_output=True,
            encoding="utf-8",
        )

    def _program(self, *arguments, **environment):
        done = self._python("-m", "tf_dwbp", *arguments, **environment)
        self.assertNotIn("Traceback", done.stderr)
        return done

    @parameterized.product(module=("ops", "nn", "keras", "swap"), hidden=("", _HIDDEN))
    def test_what_needs_the_library_says_how_the_package_was_built(self, module, hidden):
        for statement in (f"import tf_dwbp.{module}", f"from tf_dwbp import {module}"):
            done = self._python("-c", hidden + statement)
            last = done.stderr.strip().splitlines()[-1]
            self.assertStartsWith(last, f"ImportError: tf_dwbp was {_WITHOUT}")
            self.assertEndsWith(last, "install without TF_DWBP_NATIVE=0 for the ops.")
            self.assertEqual(done.stderr.count("Traceback"), 1)

    def test_the_package_itself_can_be_imported_and_tells(self):
        done = self._python("-c", f"{_HIDDEN}import tf_dwbp; print(tf_dwbp.build_info())")
        self.assertEqual(done.stdout, "{'native': False}\n", done.stderr)

    def test_info(self):
        self.assertIn("none: built with TF_DWBP_NATIVE=0", self._program("info").stdout)
        found = json.loads(self._program("info", "--json").stdout)
        self.assertEqual((found["native"], found["problem"]), (False, None))

    @parameterized.parameters(
        (["bench", "--quick"], _LINE),
        (["train"], _LINE),
        (["run", "a_target.py"], _LINE),
        (["explain", _CASE], _LINE),
        (["fuzz"], _LINE),
        (["fuzz", "--target", "a_target:right", "--isa", "avx2"], _LINE),
        (
            ["conformance"],
            "tf-dwbp conformance: built with TF_DWBP_NATIVE=0, without ops to judge: give "
            "--target stock or --target MODULE:FUNCTION\n",
        ),
    )
    def test_commands_that_need_the_library_end_with_one_line(self, arguments, line):
        done = self._program(*arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertStartsWith(done.stderr, line)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_conformance_judges_a_target(self):
        for name, status, found in (
            ("right", 0, "1 agree, 0 fail"),
            ("wrong", 1, "1 WRONG, 1 fail"),
        ):
            options = ["--target", f"a_target:{name}", "--no-stock", "--case", _CASE]
            done = self._program("conformance", *options)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertRegex(done.stdout, rf"{name} eager.* {found}")

    def test_fuzz_judges_a_target(self):
        for name, status in (("right", 0), ("wrong", 1)):
            done = self._program("fuzz", "--target", f"a_target:{name}", "--case", _CASE)
            self.assertEqual(done.returncode, status, done.stderr)

    @parameterized.parameters(
        (["conformance", "--target", "stock"], "tf-dwbp conformance: cannot use stock: "),
        (["fuzz", "--target", "a_target:right"], "tf-dwbp fuzz: cannot use a_target:right: "),
    )
    def test_without_tensorflow_one_line_says_so(self, arguments, begin):
        (self._folder / "tensorflow.py").write_text(
            "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')",
            encoding="utf-8",
        )
        done = self._program(*arguments, "--case", _CASE)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        lines = [line for line in done.stderr.splitlines() if not re.match(r"seed \d+$", line)]
        self.assertLen(lines, 1)
        self.assertStartsWith(lines[0], begin)
        self.assertIn("No module named 'tensorflow'", lines[0])


def _loaded(arguments, *modules):
    """Which of the modules a run of the program has loaded when it ends."""
    program = (
        "import atexit, runpy, sys\n"
        f"sys.argv = ['tf-dwbp', *{arguments.split()!r}]\n"
        f"loaded = lambda: [name for name in {modules!r} if name in sys.modules]\n"
        "atexit.register(lambda: print('loaded', *loaded()))\n"
        "runpy.run_module('tf_dwbp', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    return done.stdout.splitlines()[-1].split()[1:]


class HelpTest(absltest.TestCase):
    def test_what_is_said_at_once_loads_little(self):
        heavy = ("tensorflow", "rich", "jinja2")
        self.assertEqual(_loaded("--help", "numpy", *heavy), [])
        self.assertEqual(_loaded("no_such_command", "numpy", *heavy), [])
        for arguments in (
            "conformance --dtype int8",
            "conformance --target stock --execution jit",
            "fuzz --isa sse9",
            "bench --model mobilenet",
            "train --compare --swap",
            "explain x",
            "diff a b",
        ):
            self.assertEqual(_loaded(arguments, *heavy), [], arguments)

    def test_what_a_command_misses_is_said_with_what_to_install(self):
        def find_spec(name):
            return None if name in ("rich", "ml_dtypes") else name

        for command in ("conformance", "diff", "fuzz", "bench", "train"):
            stderr = io.StringIO()
            with (
                mock.patch.object(cli.importlib.util, "find_spec", find_spec),
                contextlib.redirect_stderr(stderr),
                self.assertRaises(SystemExit) as exit,
            ):
                cli.main([command])
            self.assertEqual(exit.exception.code, 2)
            self.assertEqual(
                stderr.getvalue(),
                f"tf-dwbp {command}: not installed: ml_dtypes, rich; pip install 'tf-dwbp[cli]', "
                "or ml_dtypes rich\n",
            )

    def test_help_and_info_load_no_tensorflow(self):
        for arguments in ("--help", "conformance --help", "fuzz --help", "explain --help", "info"):
            self.assertEqual(_loaded(arguments, "tensorflow"), [], arguments)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
