"""`tf-dwbp run`: a script that knows nothing of us, on our ops."""

import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

import pytest
import tensorflow as tf

_SCRIPT = """
    import sys
    import helper  # beside the script
    import tensorflow as tf

    print(__name__, sys.argv[1:], helper.VALUE)
    images, filters = tf.ones([1, 6, 6, 2]), tf.ones([3, 3, 2, 1])

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = tf.nn.depthwise_conv2d(images, filters, [1, 1, 1, 1], "SAME")
            loss = tf.reduce_sum(output**2)
        return tape.gradient(loss, images)

    step(images)
    tf.nn.depthwise_conv2d(images, filters, [1, 1, 1, 1], "SAME")
"""


class RunTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "helper.py").write_text("VALUE = 7\n", encoding="utf-8")

    def _run(self, *arguments, end="", cwd=None):
        script = self.folder / "script.py"
        script.write_text(textwrap.dedent(_SCRIPT) + end, encoding="utf-8")
        arguments = [str(script) if argument == "SCRIPT" else argument for argument in arguments]
        return subprocess.run(
            [sys.executable, "-m", "tf_dwbp", "run", *arguments],
            capture_output=True,
            encoding="utf-8",
            cwd=cwd,
        )

    def _summary(self, run):
        """(by, op) -> count, where."""
        found = re.findall(r"^  (ours|stock) +(\w+) +(\d+)  in ([^:]+):", run.stderr, re.M)
        return [(by, op, int(count), where.partition("_step")[0]) for by, op, count, where in found]

    def test_runs_on_our_ops_and_tells(self):
        run = self._run("SCRIPT", "--epochs", "3", "-x")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, "__main__ ['--epochs', '3', '-x'] 7\n")
        self.assertIn("3 ours, 0 stock's", run.stderr)
        self.assertCountEqual(
            self._summary(run),
            [
                ("ours", "forward", 1, "__inference"),
                ("ours", "input_grad", 1, "__inference"),
                ("ours", "forward", 1, "eager calls"),
            ],
        )

    def test_only_some_ops(self):
        run = self._run("--ops", "input_grad,filter_grad", "SCRIPT")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertCountEqual(
            self._summary(run),
            [
                ("stock", "forward", 1, "__inference"),
                ("ours", "input_grad", 1, "__inference"),
                ("stock", "forward", 1, "eager calls"),
            ],
        )
        self.assertIn("not among the ops that were asked for", run.stderr)

    def test_batch_normalization(self):
        script = """
    import keras
    keras.layers.BatchNormalization()(tf.ones([4, 3]), training=True)
    keras.layers.BatchNormalization(axis=0, name="first")(tf.ones([4, 3]), training=True)
"""
        options = ([], ["--batch-norm"])
        plain, fused = (self._run(*o, "SCRIPT", end=textwrap.dedent(script)) for o in options)
        self.assertEqual((plain.returncode, fused.returncode), (0, 0), fused.stderr)
        self.assertNotIn("BatchNormalization", plain.stderr)
        self.assertIn("\nBatchNormalization: 1 fused, 1 left to Keras\n", fused.stderr)
        self.assertRegex(fused.stderr, "left to Keras +1  first: axis 0 of 2 dimensions")
        self.assertLen(self._summary(fused), 3)

    def test_a_module(self):
        run = self._run("-m", "script", "argument", cwd=self.folder)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, "__main__ ['argument'] 7\n")
        self.assertLen(self._summary(run), 3)

    def test_exit_status_is_the_scripts(self):
        run = self._run("SCRIPT", end="sys.exit(5)\n")
        self.assertEqual(run.returncode, 5)
        self.assertLen(self._summary(run), 3)

    def test_exceptions_are_the_scripts(self):
        run = self._run("SCRIPT", end="raise KeyError('of the script')\n")
        self.assertEqual(run.returncode, 1)
        self.assertIn("KeyError: 'of the script'", run.stderr)
        # As Python prints it: it begins in the script.
        self.assertIn(f'(most recent call last):\n  File "{self.folder}/script.py"', run.stderr)
        self.assertLen(self._summary(run), 3)

    def test_wrong_usage(self):
        for arguments, message in (
            (["--ops", "backward", "SCRIPT"], "'backward' is none of forward, input_grad"),
            (["nowhere.py"], "there is no file nowhere.py"),
            (["-m", "no_such_module"], "cannot run no_such_module: No module named"),
            (["-m", "no_such.module"], "cannot run no_such.module: "),
            (["-m", "json"], "'json' is a package and cannot be directly executed"),
            ([], "SCRIPT"),
        ):
            run = self._run(*arguments)
            self.assertEqual(run.returncode, 2, arguments)
            self.assertIn(message, run.stderr)
            self.assertNotIn("Traceback", run.stderr)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
