"""SavedModels that hold stock's ops: reached while installed, and rewritten for good."""

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
from tensorflow.core.protobuf import saved_model_pb2

import executed
from tf_dwbp import _library, family, swap

_IMAGES = np.random.default_rng(1).standard_normal([2, 9, 8, 3]).astype(np.float32)
_STOCK = {names.stock for names in family.OPS.values()}
_OURS = {names.ours for names in family.OPS.values()}


class Module(tf.Module):
    """A convolution and a step of training, for serving."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(2)
        self.filter = tf.Variable(random.standard_normal([3, 3, 3, 2]), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def convolve(self, images):
        return tf.nn.depthwise_conv2d(images, self.filter, [1, 1, 1, 1], "SAME") * 2.0

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def step(self, images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(self.convolve(images) ** 2)
        image_gradient, gradient = tape.gradient(loss, [images, self.filter])
        self.filter.assign_sub(1e-4 * gradient)
        return image_gradient

    @tf.function(input_signature=[tf.TensorSpec([2, 9, 8, 3])], jit_compile=True)
    def compiled(self, images):
        return tf.nn.depthwise_conv2d(images, self.filter, [1, 1, 1, 1], "SAME") * 2.0


def _depthwise_ops(directory):
    """Names of the depthwise ops in the file, and of those that it lists."""
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString(pathlib.Path(directory, "saved_model.pb").read_bytes())
    (meta_graph,) = saved_model.meta_graphs
    nodes = list(meta_graph.graph_def.node)
    for function in meta_graph.graph_def.library.function:
        nodes += function.node_def
    listed = {op.name for op in meta_graph.meta_info_def.stripped_op_list.op}
    return [node.op for node in nodes if "Depthwise" in node.op], listed


class SavedModelTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.module = Module()
        self.stock = self.folder / "stock"
        tf.saved_model.save(self.module, str(self.stock))
        self.ours = self.folder / "ours"

    def test_reached_while_installed(self):
        expected = self.module.convolve(_IMAGES)
        loaded = tf.saved_model.load(str(self.stock))
        with swap.installed():
            results = []
            ran = executed.in_graphs(lambda: results.append(loaded.convolve(_IMAGES)))
        self.assertEqual(ran, {family.OPS["forward"].ours: 1})
        self.assertAllClose(results[0], expected, rtol=1e-5, atol=1e-5)

    def test_saved_while_installed_holds_stocks_ops(self):
        with swap.installed():
            module = Module()
            module.step(_IMAGES)
            tf.saved_model.save(module, str(self.ours))
        found, _ = _depthwise_ops(self.ours)
        # All but what was traced for XLA.
        self.assertEqual(set(found) & _STOCK, _STOCK)
        self.assertLessEqual(sum(op in _OURS for op in found), 1)

    def test_rewritten_it_runs_in_another_process(self):
        report = swap.rewrite(self.stock, self.ours)
        stocks, ours = (
            tf.saved_model.experimental.read_fingerprint(str(directory)).saved_model_checksum
            for directory in (self.stock, self.ours)
        )
        self.assertNotEqual(stocks, ours)
        found, listed = _depthwise_ops(self.ours)
        compiled = [entry for entry in report.entries if "compiled" in entry.where]
        self.assertLen(compiled, 1)
        self.assertEqual(report.ours + report.stock, len(found))
        self.assertEqual(report.ours, sum(op in _OURS for op in found))
        self.assertTrue({entry.by for entry in report.entries} - {"stock"})
        self.assertContainsSubset(set(found) & _OURS, listed)
        np.save(self.folder / "images.npy", _IMAGES)
        program = """if True:
            import sys, numpy as np, tensorflow as tf
            if sys.argv[2] == "import":
                import tf_dwbp
            images = np.load(sys.argv[1] + "/images.npy")
            model = tf.saved_model.load(sys.argv[1] + "/ours")
            results = [model.convolve(images), model.step(images), model.convolve(images)]
            np.savez(sys.argv[1] + "/results.npz", *results)
        """
        command = [sys.executable, "-c", program, str(self.folder)]
        subprocess.run([*command, "import"], check=True, capture_output=True)
        results = np.load(self.folder / "results.npz")
        expected = [
            self.module.convolve(_IMAGES),
            self.module.step(_IMAGES),
            self.module.convolve(_IMAGES),
        ]
        for ours, stock in zip(results.values(), expected, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-5, atol=1e-4)
        without = subprocess.run([*command, "nothing"], capture_output=True, encoding="utf-8")
        self.assertNotEqual(without.returncode, 0)
        self.assertIn("TfDwbp>", without.stderr)

    def test_only_the_ops_that_are_asked_for(self):
        report = swap.rewrite(self.stock, self.ours, ops=("input_grad",))
        found, _ = _depthwise_ops(self.ours)
        self.assertEqual(set(found) & _OURS, {family.OPS["input_grad"].ours})
        self.assertGreater(report.stock, 0)

    def test_what_xla_compiles_needs_xla_kernels(self):
        for xla in (True, False):
            with mock.patch.object(_library, "build_info", return_value={"xla": xla}):
                report = swap.rewrite(self.stock, self.folder / str(xla))
            (entry,) = [entry for entry in report.entries if "compiled" in entry.where]
            self.assertEqual(entry.by, "ours" if xla else "stock")
            if not xla:
                self.assertIn("no XLA kernels", entry.why)

    def test_again_changes_nothing(self):
        first = swap.rewrite(self.stock, self.ours)
        again = swap.rewrite(self.ours, self.folder / "again")
        self.assertEqual((first.ours, first.stock), (again.ours, again.stock))
        self.assertEqual({entry.why for entry in again.entries if entry.by == "ours"}, {"saved so"})

    def test_a_keras_export(self):
        model = keras.Sequential(
            [keras.layers.Input([9, 8, 3]), keras.layers.SeparableConv2D(4, 3, use_bias=False)]
        )
        model.export(str(self.folder / "keras"), verbose=False)
        report = swap.rewrite(self.folder / "keras", self.ours)
        self.assertGreater(report.ours, 0)
        loaded = tf.saved_model.load(str(self.ours))
        self.assertAllClose(loaded.serve(_IMAGES), model(_IMAGES), rtol=1e-5, atol=1e-5)

    def test_bad_arguments(self):
        with self.assertRaisesRegex(ValueError, "saved_model_dir must be a SavedModel"):
            swap.rewrite(self.folder, self.ours)
        with self.assertRaisesRegex(ValueError, "out_dir must be a new or empty directory"):
            swap.rewrite(self.stock, self.folder)
        with self.assertRaisesRegex(ValueError, "ops must be some of"):
            swap.rewrite(self.stock, self.ours, ops=("backward",))
        self.assertFalse(self.ours.exists())


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
