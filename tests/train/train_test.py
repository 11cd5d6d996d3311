"""Training real models, swapped in and not, and the comparison that must be able to fail."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import executed
import tiny_model
from tf_dwbp import cli, swap
from tf_dwbp.swap import plug_in
from tf_dwbp.tools import digits
from tf_dwbp.tools.trainer import BatchNorms, Ops, Trainer
from tf_dwbp.train import compare, results
from tf_dwbp.train.results import CONTROL, STOCK, SWAPPED, Plan, Run, Training

_ROOT = pathlib.Path(__file__).absolute().parents[2]

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("sklearn"), reason="scikit-learn is not installed"
)


@contextlib.contextmanager
def _wrong_input_gradient(factor):
    """While our ops are swapped in, a layer's input gradient is wrong by a factor."""
    original = swap.installed

    @contextlib.contextmanager
    def installed(*arguments, **options):
        with original(*arguments, **options), _scaled_gradient(factor):
            yield

    with mock.patch.object(swap, "installed", installed):
        yield


@contextlib.contextmanager
def _scaled_gradient(factor):
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    entry = registered["DepthwiseConv2dNative"]
    [key] = [key for key in entry if key != "location"]

    def scaled(op, grad):
        input_grad, filter_grad = entry[key](op, grad)
        return factor * input_grad, filter_grad

    registered["DepthwiseConv2dNative"] = entry | {key: scaled}
    try:
        yield
    finally:
        registered["DepthwiseConv2dNative"] = entry


PLAN = Plan("mobilenet", 16, 16, 30, 12, 0, "float32")


class SideTest(tf.test.TestCase, parameterized.TestCase):
    def _batch(self):
        return next(digits.Digits(16, tiny_model.TINY.preprocess).batches(16))

    @parameterized.parameters(False, True)
    def test_whose_ops_run(self, swapped):
        trainer = Trainer(tiny_model.build(), 0.01, swapped)
        batch = self._batch()
        ran = executed.in_graphs(lambda: trainer.step(*batch))
        prefix = "TfDwbp>" if swapped else ""
        names = ("", "BackpropInput", "BackpropFilter")
        expected = {f"{prefix}DepthwiseConv2dNative{name}": 3 for name in names}
        self.assertEqual(ran, expected)
        trainer.step(*batch)  # which changes nothing
        self.assertEqual(trainer.ops(), Ops(9, 0, 0) if swapped else Ops(0, 9, 0))

    def test_fused_with_a_bias_is_told(self):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.DepthwiseConv2D(3, use_bias=True), keras.layers.Flatten()]
        model = keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Softmax()])
        trainer = Trainer(model, 0.01, True)
        trainer.step(*self._batch())
        ops = trainer.ops()
        self.assertEqual((ops.stock, ops.ours + ops.fused), (0, 2))

    def test_starting_from_another_side_is_going_on_as_that(self):
        first, second = (
            Trainer(tiny_model.build(), 0.01, False),
            Trainer(tiny_model.build(seed=7), 0.02, False),
        )
        batch = self._batch()
        for _ in range(3):
            first.step(*batch)
        second.start_from(first, 0.005)
        first.start_from(first, 0.005)
        for _ in range(3):
            self.assertEqual(first.step(*batch)[0], second.step(*batch)[0])

    @parameterized.parameters(("float32", 2.0**-23), ("mixed_bfloat16", 2.0**-7))
    def test_perturbing_changes_each_weight_by_its_last_bit(self, policy, epsilon):
        trainer = Trainer(tiny_model.build(policy=policy), 0.01, False)
        before = [variable.numpy() for variable in trainer.model.trainable_variables]
        trainer.perturb(0)
        for old, variable in zip(before, trainer.model.trainable_variables, strict=True):
            change = np.abs(variable.numpy() - old)
            self.assertAllInRange(
                change[old != 0] / np.abs(old[old != 0]), epsilon / 2, 2 * epsilon
            )


class CompareTest(tf.test.TestCase):
    def test_ours_is_within_the_bound(self):
        with tiny_model.in_place_of_mobilenet():
            run = compare.compare(PLAN)
        self.assertEqual(run.faults(), [])
        self.assertEqual(run.trainings[SWAPPED].ops, Ops(9, 0, 0))
        self.assertLess(run.trainings[STOCK].losses[-1], run.warm_up[0])
        self.assertEqual(run.telling(), PLAN.steps)
        self.assertGreater(max(run.difference(CONTROL)), 0)

    def test_with_fused_batch_normalization_it_is_within_the_bound(self):
        plan = dataclasses.replace(PLAN, batch_norm=True)
        with tiny_model.in_place_of_mobilenet():
            run = compare.compare(plan)
        self.assertEqual(run.faults(), [])
        norms = {name: training.batch_norms for name, training in run.trainings.items()}
        self.assertEqual(norms.pop(SWAPPED), BatchNorms(3, 0))
        self.assertEqual(set(norms.values()), {BatchNorms(0, 3)})
        self.assertEqual(Run.from_json(json.loads(json.dumps(run.to_json()))), run)

    def test_an_input_gradient_wrong_by_a_thousandth_is_found(self):
        with tiny_model.in_place_of_mobilenet(), _wrong_input_gradient(1.001):
            run = compare.compare(PLAN)
        self.assertRegex(run.faults()[0], "differ by more than the bound in .* steps")
        self.assertEqual(run.trainings[SWAPPED].ops, Ops(9, 0, 0))

    def test_stock_beside_itself_is_the_same_to_the_bit_and_no_comparison(self):
        with tiny_model.in_place_of_mobilenet(), mock.patch.object(plug_in, "select"):
            run = compare.compare(PLAN)
        self.assertEqual(max(run.difference(SWAPPED)), 0)
        self.assertRegex(
            run.faults()[0], "the swapped training ran the wrong depthwise ops: 0 ours"
        )

    def test_a_plain_training_learns(self):
        with tiny_model.in_place_of_mobilenet():
            run = compare.train(dataclasses.replace(PLAN, warm_up=200), swapped=True)
        [training] = run.trainings.values()
        self.assertLen(training.losses, 200 + PLAN.steps)
        self.assertLess(np.mean(training.losses[-5:]), 0.8 * training.losses[0])
        self.assertGreater(training.accuracy, 0.3)
        self.assertEqual(run.faults(), [])


class ResultsTest(tf.test.TestCase):
    def _run(self, stock, swapped, control):
        losses = {STOCK: stock, SWAPPED: swapped, CONTROL: control}
        ops = {STOCK: Ops(0, 3, 0), SWAPPED: Ops(3, 0, 0), CONTROL: Ops(0, 3, 0)}
        seconds = {STOCK: [9, 3, 2], SWAPPED: [8, 1, 1], CONTROL: [1, 1, 1]}
        trainings = {name: Training(losses[name], seconds[name], 0.5, ops[name]) for name in losses}
        return Run(Plan("mobilenet", 32, 8, 0, 3, 0, "float32"), [], trainings)

    def test_the_bound_follows_the_control(self):
        run = self._run([1, 1, 1], [1, 1.01, 1.06], [1, 1.002, 1.0])
        floor = results.ROUNDINGS * 2.0**-23
        self.assertAllClose(run.bound(), [floor, 0.02 + floor, 0.02 + floor], rtol=1e-6)
        self.assertEqual(run.exceeding(), [2])
        self.assertEqual(run.telling(), 1)
        worst = run.worst()
        self.assertEqual(worst["step"], 2)
        self.assertAllClose([worst["difference"], worst["relative"]], [0.06, 0.06])
        self.assertAllClose(run.closest(), 0.06 / (0.02 + floor))
        self.assertEqual(run.ratio().median, 2.5)
        self.assertEqual(run.trainings[STOCK].step_time.median, 2.5)

    def test_a_loss_that_is_no_number_is_a_fault(self):
        nan = float("nan")
        run = self._run([1, 1, 1], [1, nan, nan], [1, 1, 1])
        self.assertEqual(run.exceeding(), [1, 2])
        self.assertIn("the swapped training's loss is not a finite number", run.faults()[0])

    def test_the_wrong_ops_are_a_fault(self):
        run = self._run([1, 1, 1], [1, 1, 1], [1, 1, 1])
        self.assertEqual(run.faults(), [])
        for name, ops in ((STOCK, Ops(1, 2, 0)), (SWAPPED, Ops(2, 1, 0)), (SWAPPED, Ops(0, 0, 3))):
            run = self._run([1, 1, 1], [1, 1, 1], [1, 1, 1])
            run.trainings[name].ops = ops
            self.assertIn(f"the {name} training ran the wrong depthwise ops", run.faults()[0])

    def test_the_wrong_batch_normalization_is_a_fault(self):
        for name, asked, norms in (
            (STOCK, True, BatchNorms(1, 0)),
            (SWAPPED, True, BatchNorms(3, 1)),
            (SWAPPED, False, BatchNorms(1, 3)),
        ):
            run = self._run([1, 1, 1], [1, 1, 1], [1, 1, 1])
            run.plan = dataclasses.replace(run.plan, batch_norm=asked)
            self.assertEqual(run.faults(), [])
            run.trainings[name].batch_norms = norms
            [fault] = run.faults()
            self.assertIn(f"the {name} training ran the wrong BatchNormalization: {norms}", fault)


class CommandTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))

    def _train(self, *arguments):
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout), tiny_model.in_place_of_mobilenet():
            status = cli.main(["train", *arguments])
        return status, stdout.getvalue()

    def test_comparison_end_to_end(self):
        saved, drawn = self.directory / "run.json", self.directory / "plot.png"
        plots = ["--plot", str(drawn)] if importlib.util.find_spec("matplotlib") else []
        status, text = self._train("--compare", "--json", str(saved), *plots)
        self.assertEqual(status, 0, text)
        for part in (
            "largest difference of the losses",
            "swapped: ",
            "depthwise ops 9 ours and 0 stock's",
            "stock/swapped: ",
        ):
            self.assertIn(part, text)
        found = json.loads(saved.read_text(encoding="utf-8"))
        [run] = found["runs"]
        self.assertEqual(run["faults"], [])
        self.assertEqual(run["plan"]["warm_up"], 30)
        self.assertLen(run["trainings"][SWAPPED]["losses"], 12)
        self.assertLen(run["differences"][SWAPPED], 12)
        self.assertEqual(run["worst"]["difference"], max(run["differences"][SWAPPED]))
        self.assertEqual(found["machine"]["tensorflow"], tf.__version__)
        if plots:
            self.assertEqual(tf.io.decode_png(drawn.read_bytes()).shape[:2], (1000, 1600))
        self.assertEqual(self._train("--load", str(saved)), (0, text))

    def test_a_bound_that_is_exceeded_is_the_exit_status(self):
        with _wrong_input_gradient(1.001):
            status, text = self._train("--compare")
        self.assertEqual(status, 1)
        self.assertIn("FAILED: the losses differ by more than the bound", text)

    @parameterized.parameters(
        ([], "swapped", "9 ours and 0 stock's"),
        (["--no-swap"], "stock", "0 ours and 9 stock's"),
        (["--batch-norm"], "swapped", "9 ours and 0 stock's, .* 3 fused and 0 left to Keras"),
    )
    def test_one_training(self, options, name, ops):
        options += ["--warm-up", "0", "--steps", "3", "--batch", "4", "--image-size", "9"]
        if importlib.util.find_spec("matplotlib"):
            options += ["--plot", str(self.directory / "plot.svg")]
        status, text = self._train(*options)
        self.assertEqual(status, 0)
        self.assertIn("4 images of 9x9", text)
        self.assertRegex(text, rf"{name}: .* ms a step, .* held-out images right, .*{ops}")

    def _usage_error(self, *arguments):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), self.assertRaises(SystemExit) as exit:
            cli.main(["train", *arguments])
        self.assertEqual(exit.exception.code, 2)
        return stderr.getvalue()

    @parameterized.parameters(
        (["--model", "resnet"], "--model: invalid choice: 'resnet' .*mobilenet.*all"),
        (["--compare", "--swap"], "--compare trains both ways: --swap and --no-swap"),
        (["--compare", "--no-swap"], "--compare trains both ways: --swap and --no-swap"),
        (["--no-swap", "--batch-norm"], "--batch-norm is part of the swap"),
        (["--steps", "1"], "--steps: '1' is not a whole number of at least 2"),
        (["--warm-up", "-1"], "--warm-up: '-1' is not a whole number of at least 0"),
        (["--batch", "0"], "--batch: '0' is not a whole number of at least 1"),
        (["--batch", "2000"], "--batch 2000: there are 1437 images"),
        (["--model", "xception", "--image-size", "70"], "Xception takes images of 71 pixels"),
        (["--policy", "int8"], "--policy: invalid choice: 'int8' .*mixed_bfloat16"),
        (["--seed", "x"], "--seed: 'x' is not a whole number of at least 0"),
        (["--load", "/no/such/file"], "--load: cannot read /no/such/file"),
        (["--load", __file__], "is not what --json writes"),
    )
    def test_usage_errors(self, arguments, pattern):
        self.assertRegex(self._usage_error(*arguments).replace("\n", " "), pattern)

    def test_the_missing_extra_is_named(self):
        with mock.patch.object(
            importlib.util, "find_spec", side_effect=lambda name, *_: name != "sklearn" or None
        ):
            self.assertIn("pip install 'tf-dwbp[train]'", self._usage_error())

    def test_the_command_line_needs_no_extra_until_it_trains(self):
        program = (
            "import sys; sys.modules.update(sklearn=None, matplotlib=None); "
            "from tf_dwbp import cli; cli.main(['train', '--load', '/no/such/file'])"
        )
        found = subprocess.run(
            [sys.executable, "-c", program],
            cwd=_ROOT,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        self.assertEqual(found.returncode, 2)
        self.assertIn("cannot read /no/such/file", found.stderr)


@pytest.mark.slow
class ModelsTest(tf.test.TestCase):
    def test_models_train_with_stocks_losses(self):
        """Those that differ most in their depthwise layers; each takes half a minute to trace."""
        models = ["mobilenet_v3", "convnext", "xception"]
        stdout, few = io.StringIO(), ["--warm-up", "6", "--steps", "6"]
        with contextlib.redirect_stdout(stdout):
            status = cli.main(["train", "--model", *models, "--compare", *few])
        self.assertEqual(status, 0, stdout.getvalue())
        self.assertEqual(stdout.getvalue().count("stock/swapped: "), len(models))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
