"""A SavedModel with tf_dwbp's ops in it, served by another process.

That process has none of the model's Python: `import tf_dwbp` is all that it needs.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

import tf_dwbp

# The process that serves: images come in one file, and results go into another.
SERVER = """
import sys, numpy, tensorflow, tf_dwbp
served = tensorflow.saved_model.load(sys.argv[1]).signatures["serving_default"]
images = tensorflow.constant(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], served(images=images)["blurred"])
"""


class Blur(tf.Module):
    """Each channel blurred by a kernel of its own."""

    def __init__(self):
        self.kernel = tf.Variable(tf.random.stateless_uniform([5, 5, 3, 1], seed=[1, 0]))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], name="images")])
    def __call__(self, images):
        return {"blurred": tf_dwbp.nn.depthwise_conv2d(images, self.kernel, [1] * 4, "SAME")}


def main():
    model, images = Blur(), np.random.default_rng(1).random([2, 20, 30, 3], np.float32)
    with tempfile.TemporaryDirectory() as folder:
        saved, request, answer = (str(pathlib.Path(folder, n)) for n in ("m", "a.npy", "b.npy"))
        tf.saved_model.save(model, saved, signatures=model.__call__)
        np.save(request, images)
        subprocess.run([sys.executable, "-c", SERVER, saved, request, answer], check=True)
        served = np.load(answer)
    np.testing.assert_allclose(served, model(images)["blurred"], rtol=1e-6)
    expected = tf.nn.depthwise_conv2d(images, model.kernel, [1] * 4, "SAME")
    np.testing.assert_allclose(served, expected, rtol=1e-4)
    print(f"another process served {list(served.shape)}, equal to TensorFlow's own ops")


if __name__ == "__main__":
    sys.exit(main())
