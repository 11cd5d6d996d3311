"""Fused BatchNormalization is on while asked for, in models of all kinds, and leaves no trace."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import at_once
import batch_norm_cases as cases
import tiny_model
from tf_dwbp import swap

report_module = sys.modules["tf_dwbp.swap.report"]  # whose name in the package is a function

_CLASS = keras.layers.BatchNormalization
_CALL = _CLASS.call
_INPUTS = cases.random([8, 16, 16, 3])
_LABELS = np.arange(8)


def _is_fused():
    """Whether a layer that is called now is."""
    before = len(_calls())
    keras.layers.BatchNormalization(name=f"probe_{before}")(_INPUTS, training=True)
    return _calls()[before:] == [(f"probe_{before}", True)]


def _calls():
    return [(entry.layer, entry.fused) for entry in swap.report().batch_norms]


def _fit(model, **options):
    keras.utils.set_random_seed(5)
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", **options)
    history = model.fit(_INPUTS, _LABELS, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return [*history.history["loss"], *(np.sum(w) for w in model.get_weights())]


class InstallTest(tf.test.TestCase):
    def tearDown(self):
        super().tearDown()
        self.assertIs(vars(_CLASS)["call"], _CALL)

    def test_it_is_off_unless_asked_for(self):
        self.assertFalse(_is_fused())
        with swap.installed():
            self.assertFalse(_is_fused())
            self.assertIs(_CLASS.call, _CALL)
        swap.install(batch_norm=True)
        self.assertTrue(_is_fused())
        swap.uninstall()
        self.assertFalse(_is_fused())

    def test_it_is_on_as_long_as_any_asks_for_it(self):
        with swap.installed(batch_norm=True):
            swap.install(batch_norm=True)
            swap.install(("forward",))
            with swap.installed(batch_norm=True):
                self.assertTrue(_is_fused())
            swap.uninstall()
            self.assertTrue(_is_fused())
            swap.uninstall()
            self.assertTrue(_is_fused())
        self.assertFalse(_is_fused())

    def test_a_call_kept_from_meanwhile_is_kerass_again(self):
        with swap.installed(batch_norm=True):
            kept = _CLASS.call
            self.assertIsNot(kept, _CALL)
        before = _calls()
        layer = keras.layers.BatchNormalization()
        layer.build(_INPUTS.shape)
        other = keras.layers.BatchNormalization()
        self.assertAllEqual(kept(layer, _INPUTS, training=True), other(_INPUTS, training=True))
        self.assertEqual(_calls(), before)

    def test_who_replaced_the_call_since_is_left_alone(self):
        with swap.installed(batch_norm=True):
            stand_in = _CLASS.call

            def theirs(self, inputs, training=None, mask=None):
                return stand_in(self, inputs, training, mask)

            self.addCleanup(setattr, _CLASS, "call", _CALL)
            _CLASS.call = theirs
        self.assertIs(_CLASS.call, theirs)
        self.assertFalse(_is_fused())
        _CLASS.call = _CALL

    def test_other_backends_are_left_alone(self):
        backend = sys.modules[_CLASS.__module__].backend
        jax = mock.patch.object(backend, "backend", return_value="jax")
        with jax, swap.installed(batch_norm=True):
            self.assertIs(_CLASS.call, _CALL)

    def test_threads(self):
        expected = np.asarray(keras.layers.BatchNormalization()(_INPUTS, training=True))

        def work():
            with swap.installed(batch_norm=True):
                layer = keras.layers.BatchNormalization()
                outputs = tf.function(lambda x: layer(x, training=True))(_INPUTS)
            np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)

        self.assertEqual(at_once.errors_of(work, times=10), [])
        self.assertFalse(_is_fused())


class ModelTest(tf.test.TestCase, parameterized.TestCase):
    def _assert_alike(self, rtol=2e-4, policy="float32", **options):
        expected = _fit(tiny_model.build(policy=policy), **options)
        model = tiny_model.build(policy=policy)
        with swap.installed(batch_norm=True):
            results = _fit(model, **options)
        self.assertGreater(np.ptp(expected[:3]), 1e-2)  # it learns
        self.assertAllClose(results, expected, rtol, rtol)
        return model

    @parameterized.parameters(
        ({},),
        ({"steps_per_execution": 2},),
        ({"policy": "mixed_bfloat16", "rtol": 3e-2},),
        ({"policy": "mixed_float16", "rtol": 1e-2},),
    )
    def test_it_trains_as_kerass(self, options):
        model = self._assert_alike(**options)
        report = swap.report(model)
        self.assertLen({entry.layer for entry in report.batch_norms}, 3)
        self.assertEqual({(e.fused, e.why) for e in report.batch_norms}, {(True, "")})
        self.assertRegex(str(report), r"\nBatchNormalization: \d fused, 0 left to Keras$")
        functions = report_module._concrete_functions(model)
        ops = [op.type for function in functions for op in function.graph.get_operations()]
        self.assertContainsSubset(["FusedBatchNormV3", "FusedBatchNormGradV3"], ops)

    def test_run_eagerly(self):
        self._assert_alike(run_eagerly=True)

    @pytest.mark.xla
    def test_compiled_by_xla(self):
        model = self._assert_alike(jit_compile=True)
        report = swap.report(model)
        self.assertEqual({e.why for e in report.batch_norms}, {"XLA compiles it"})
        self.assertRegex(str(report), r"BatchNormalization: 0 fused, 3 left to Keras\n  left to")

    def test_what_was_traced_before_and_after_is_kerass(self):
        model = tiny_model.build()
        _fit(model)
        with swap.installed(batch_norm=True):
            model.fit(_INPUTS, _LABELS, batch_size=4, verbose=0)
        self.assertEqual(swap.report(model).batch_norms, ())
        _fit(model)
        self.assertEqual(swap.report(model).batch_norms, ())

    def test_a_frozen_model_is_none_of_it(self):
        model = tiny_model.build()
        for layer in model.layers[:-1]:
            layer.trainable = False
        with swap.installed(batch_norm=True):
            _fit(model)
        self.assertEqual(swap.report(model).batch_norms, ())

    def test_predictions_and_files_are_kerass(self):
        model = tiny_model.build()
        expected = model.predict(_INPUTS, verbose=0)
        folder = tempfile.mkdtemp(dir=self.get_temp_dir())
        model.save(f"{folder}/without.keras")
        with swap.installed(batch_norm=True):
            model.predict_function = None
            self.assertAllClose(model.predict(_INPUTS, verbose=0), expected, 1e-5, 1e-5)
            model.export(f"{folder}/exported", verbose=False)
            model.save(f"{folder}/model.keras")
            served = tf.saved_model.load(f"{folder}/exported")
            text = pathlib.Path(folder, "exported", "saved_model.pb").read_bytes()
            again = keras.models.load_model(f"{folder}/model.keras")
            saved = [
                zipfile.ZipFile(f"{folder}/{name}.keras").read("config.json")
                for name in ("without", "model")
            ]
        self.assertNotIn(b"FusedBatchNorm", text)
        self.assertAllClose(served.serve(_INPUTS), expected, 1e-5, 1e-5)
        self.assertEqual(*saved)
        self.assertAllClose(again.predict(_INPUTS, verbose=0), expected, 1e-5, 1e-5)


# Two replicas of which each normalizes its own half of the batch.
_REPLICAS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import contextlib, json, keras, numpy as np
from tf_dwbp import swap
random = np.random.default_rng(0)
images, labels = random.standard_normal([8, 6, 6, 3], np.float32), np.arange(8) % 4
results = []
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for installed in (contextlib.nullcontext(), swap.installed(batch_norm=True)):
    with strategy.scope(), installed:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([
            keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses = model.fit(images, labels, epochs=3, verbose=0).history["loss"]
        norms = {e.why for e in swap.report(model).batch_norms}
        results.append([losses + [float(np.sum(w)) for w in model.get_weights()], list(norms)])
print(json.dumps(results))
"""

# The older Keras, imported after the install, and layers of TensorFlow 1.
_OLDER = """
import json, sys
from tf_dwbp import swap
swap.install(batch_norm=True)
import numpy as np, tensorflow as tf, tf_keras
x = np.random.default_rng(0).standard_normal([6, 5], np.float32)
layer = tf_keras.layers.BatchNormalization(momentum=0.5)
model = tf_keras.Sequential([layer, tf_keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(x, np.zeros([6, 1]), verbose=0)
found = [layer.moving_variance.numpy().tolist()]
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    layer = tf.compat.v1.layers.BatchNormalization(momentum=0.5)
    layer(tf.constant(x), training=True)
    updates = list(layer.updates)
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(updates)
    found.append(session.run(layer.moving_variance).tolist())
swap.uninstall()
whys = [entry.why for entry in swap.report().batch_norms]
print(json.dumps([(0.5 + 0.5 * x.var(0)).tolist(), found, whys]))
"""


class ProgramTest(tf.test.TestCase):
    def _run(self, program, **environment):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            encoding="utf-8",
            env=os.environ | environment,
        )
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return json.loads(done.stdout.splitlines()[-1])

    def test_replicas(self):
        (stock, none), (fused, whys) = self._run(_REPLICAS)
        self.assertAllClose(fused, stock, 1e-5, 1e-5)
        self.assertEqual((none, whys), ([], [""]))

    def test_the_older_keras_and_layers_of_tensorflow_1(self):
        pytest.importorskip("tf_keras")
        expected, found, whys = self._run(_OLDER, TF_USE_LEGACY_KERAS="1")
        for values in found:
            self.assertAllClose(values, expected, 1e-5, 1e-5)
        self.assertEqual(set(whys), {""})
        self.assertGreaterEqual(len(whys), 2)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
