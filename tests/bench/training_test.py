"""The benchmark of training steps."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
from unittest import mock

import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
import tiny_model
from bench_cases import MACHINE
from tf_dwbp import cli
from tf_dwbp.bench import runner, share, train_worker
from tf_dwbp.bench.training import TrainingPlan, TrainingRow, TrainingRun
from tf_dwbp.swap import batch_norm, plug_in
from tf_dwbp.tools import digits

PLAN = TrainingPlan(threads=1, rounds=2, policy="float32", image_size=32, batch=4)


class ShareTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ([], 0),
        ([(0, 10, True)], 1),
        ([(0, 10, False)], 0),
        ([(0, 10, True), (20, 50, False)], 0.25),  # the gap is nobody's
        ([(0, 10, True), (0, 10, False)], 0.5),
        ([(0, 10, True), (5, 15, False)], 0.5),
        ([(0, 10, True), (0, 10, True), (0, 20, False)], (20 / 3) / 20),
    )
    def test_instants_are_divided(self, events, expected):
        self.assertAllClose(share.share(events), expected)

    @parameterized.parameters(tf.nn.depthwise_conv2d, tf_dwbp.nn.depthwise_conv2d)
    def test_the_profile_tells_depthwise_ops_from_others(self, depthwise):
        image = tf.random.normal([8, 64, 64, 32])
        kernel, matrix = tf.random.normal([3, 3, 32, 1]), tf.random.normal([512, 512])

        @tf.function
        def only(image):
            return depthwise(image, kernel, [1, 1, 1, 1], "SAME")

        @tf.function
        def none(matrix):
            return matrix @ matrix

        for function, argument in ((only, image), (none, matrix)):
            function(argument)
        self.assertGreater(share.of_depthwise(lambda: only(image)), 0.5)
        self.assertEqual(share.of_depthwise(lambda: none(matrix)), 0)
        self.assertAllInRange(
            share.of_depthwise(lambda: (only(image), none(matrix))), 1e-3, 1 - 1e-3
        )


@pytest.mark.skipif(not importlib.util.find_spec("sklearn"), reason="scikit-learn is missing")
class MeasureTest(tf.test.TestCase):
    def test_a_row(self):
        with tiny_model.in_place_of_mobilenet():
            row = train_worker.measure_row(PLAN, "mobilenet")
        self.assertEqual((row.failure, row.image_size, row.batch), ("", 32, 4))
        self.assertEqual(
            {contender: len(times) for contender, times in row.seconds.items()},
            {"stock": 2, "ours": 2},
        )
        self.assertGreater(row.ratio.low, 0)
        for found in row.shares.values():
            self.assertAllInRange(found, 1e-4, 0.9)

    def test_a_row_with_fused_batch_normalization(self):
        plan = dataclasses.replace(PLAN, batch_norm=True)
        with tiny_model.in_place_of_mobilenet():
            row = train_worker.measure_row(plan, "mobilenet")
            self.assertEqual(row.failure, "")
            with mock.patch.object(batch_norm, "activate"):
                row = train_worker.measure_row(plan, "mobilenet")
        self.assertEqual(
            row.failure, "ours ran the wrong BatchNormalization: 0 fused and 3 left to Keras"
        )

    def test_sides_that_run_the_same_ops_are_no_comparison(self):
        with tiny_model.in_place_of_mobilenet(), mock.patch.object(plug_in, "select"):
            row = train_worker.measure_row(PLAN, "mobilenet")
        self.assertIn("ours ran the wrong depthwise ops: 0 ours", row.failure)
        self.assertEqual(row.seconds, {})


class CommandTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))

    def _bench(self, *arguments):
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            status = cli.main(["bench", *arguments])
        return status, stdout.getvalue()

    @pytest.mark.skipif(not importlib.util.find_spec("sklearn"), reason="scikit-learn is missing")
    def test_end_to_end(self):
        saved = str(self.directory / "run.json")
        options = ["--image-size", "32", "--batch", "4", "--rounds", "2", "--threads", "1"]
        status, text = self._bench("--train", "--model", "mobilenet", *options, "--json", saved)
        self.assertEqual(status, 0)
        self.assertRegex(text, r"mobilenet +4 x 32x32 .* \d+\.\d\d \(.*% +.*%")
        data = json.loads(pathlib.Path(saved).read_text(encoding="utf-8"))
        self.assertEqual(data["rows"][0]["failure"], "")
        self.assertEqual(data["machine"]["threads"], 1)
        self.assertEqual(data["geometric_mean"], data["rows"][0]["ratio"]["median"])
        self.assertEqual(self._bench("--load", saved), (0, text))
        self.assertNotIn("batch_norm", text)
        data["training"]["batch_norm"] = True
        pathlib.Path(saved).write_text(json.dumps(data), encoding="utf-8")
        self.assertIn("tf_dwbp with batch_norm and", self._bench("--load", saved)[1])

    def test_figures(self):
        seconds = {"stock": [4.0, 9.0, 3.0], "ours": [2.0, 3.0, 3.0]}
        rows = [
            TrainingRow("mobilenet", 96, 32, seconds, {"stock": 0.25, "ours": 0.125}),
            TrainingRow("xception", 96, 8, {}, {}, "it failed"),
        ]
        run = TrainingRun(PLAN, rows, MACHINE)
        self.assertEqual(rows[0].ratio.median, 2)
        self.assertEqual(run.mean(), 2)
        path = self.directory / "run.json"
        run.save(path)
        status, text = self._bench("--load", str(path))
        self.assertEqual(status, 1)
        self.assertIn("xception FAILED: it failed", text)
        self.assertRegex(text, r"mobilenet +32 x 96x96 .* 2\.00 \(.* 25% +12%")

    def test_a_death_is_a_failure(self):
        with (
            mock.patch.object(runner, "_TRAIN_WORKER_MODULE", "tests.no_such_module"),
            self.assertRaisesRegex(runner.Failed, "exit status 1"),
        ):
            runner.run_training(PLAN, ["mobilenet"])

    def _usage_error(self, *arguments):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), self.assertRaises(SystemExit) as exit:
            cli.main(["bench", *arguments])
        self.assertEqual(exit.exception.code, 2)
        return stderr.getvalue()

    @parameterized.parameters(
        (["--train", "--op", "forward"], "--op has no place beside --train"),
        (["--train", "--quick"], "--group has no place beside --train"),
        (["--train", "--plot", "a.svg"], "--plot"),
        (["--image-size", "64"], "--image-size has a place only beside --train"),
        (["--model", "mobilenet"], "--model has a place only beside --train"),
        (["--batch-norm"], "--batch-norm has a place only beside --train"),
        (["--train", "--model", "resnet"], "--model: invalid choice: 'resnet'"),
        (["--train", "--image-size", "48"], "Xception takes images of 71 pixels and more"),
        (["--train", "--batch", "0"], "--batch: '0' is not a whole number of at least 1"),
    )
    def test_usage_errors(self, arguments, pattern):
        # The same error also where there are no images.
        with mock.patch.object(digits, "missing", return_value="no images"):
            self.assertRegex(self._usage_error(*arguments).replace("\n", " "), pattern)

    def test_the_missing_extra_is_named(self):
        with mock.patch.object(
            importlib.util, "find_spec", side_effect=lambda name, *_: name != "sklearn" or None
        ):
            self.assertIn("pip install 'tf-dwbp[train]'", self._usage_error("--train"))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
