"""Keras that is imported after `install`, and the older Keras: grouped convolutions are reached."""

import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized

# Prints the gradients' sums, and what the report says of a model's train step.
_PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf, tf_dwbp
order, package, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if order == "before":
    tf_dwbp.swap.install()
import importlib
keras = importlib.import_module(package)
keras.layers.Conv2D
if order == "after":
    tf_dwbp.swap.install()
random = np.random.default_rng(0)
images = random.standard_normal([4, 8, 9, 4]).astype("f")
keras.utils.set_random_seed(1)
model = keras.Sequential([
    keras.layers.Input((8, 9, 4)), keras.layers.Conv2D(4, 3, groups=4, use_bias=False, **options),
    keras.layers.GlobalAveragePooling2D(),
])
model.compile("sgd", "mse")
loss = model.fit(images, np.zeros([4, 4], "f"), epochs=2, verbose=0).history["loss"]
report = tf_dwbp.swap.report(model)
if order != "never":
    tf_dwbp.swap.uninstall()
print(json.dumps([loss, report.ours, report.stock, report.undecided, str(report)]))
"""


def _run(order, package, **options):
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, order, package, json.dumps(options)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


class LegacyKerasTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(order=("before", "after"), package=("keras", "tf_keras"))
    def test_convolutions_of_a_channel_each(self, order, package):
        if package == "tf_keras":
            pytest.importorskip(package)
        expected, *_ = _run("never", package)
        losses, ours, stock, undecided, text = _run(order, package)
        self.assertEqual((stock, undecided), (0, 0), text)
        self.assertGreaterEqual(ours, 2, text)
        self.assertAllClose(losses, expected, rtol=1e-5)
        self.assertNotAllClose(losses[0], losses[1], rtol=1e-5)  # it trains

    @parameterized.parameters("keras", "tf_keras")
    def test_others_are_reported(self, package):
        if package == "tf_keras":
            pytest.importorskip(package)
        _, ours, stock, undecided, text = _run("before", package, strides=[1, 2])
        self.assertEqual((ours, undecided), (0, 0), text)
        self.assertGreaterEqual(stock, 1)
        self.assertIn("no strides of 1 and 2", text)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
