"""The package twice in a process: imported again, reloaded, and another copy of it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
import tensorflow as tf
from absl.testing import parameterized

import tf_dwbp
from tf_dwbp import _library

# All that counts on TensorFlow's registries: kernels, gradients, pfor's converters, XLA.
_USE = """
import tensorflow as tf

def use(package):
    x, f, ones = tf.ones([1, 4, 4, 1]), tf.ones([2, 2, 1, 1]), [1, 1, 1, 1]
    with tf.GradientTape() as tape:
        tape.watch([x, f])
        y = package.nn.depthwise_conv2d(x, f, ones, "SAME")
    for gradient in tape.gradient(y, [x, f]):
        assert float(tf.reduce_sum(gradient)) == 49, gradient
    mapped = tf.vectorized_map(lambda x: package.nn.depthwise_conv2d(x, f, ones, "SAME"), x[None])
    assert float(tf.reduce_sum(mapped)) == 49, mapped
    if package.build_info()["xla"]:
        jit = tf.function(package.ops.depthwise_conv2d, jit_compile=True)
        assert float(tf.reduce_sum(jit(x, f, ones, "SAME"))) == 49
"""


def _run(program, *arguments):
    """The standard output of a program that ends well."""
    result = subprocess.run(
        [sys.executable, "-c", _USE + program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(pathlib.Path(tf_dwbp.__file__).parent.parent)},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, f"status {result.returncode}: {result.stderr[-2000:]}"
    return result.stdout


class CopiesTest(tf.test.TestCase, parameterized.TestCase):
    def _copy(self, **build_info):
        package = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir())) / "tf_dwbp"
        shutil.copytree(
            _library.BUILD_INFO_PATH.parent, package, ignore=shutil.ignore_patterns("__pycache__")
        )
        info = _library.build_info() | build_info
        (package / "_build_info.json").write_text(json.dumps(info), encoding="utf-8")
        return package

    def test_imported_again(self):
        _run("""
import sys, tf_dwbp
use(tf_dwbp)
for name in [name for name in sys.modules if name.split(".")[0] == "tf_dwbp"]:
    del sys.modules[name]
first = tf_dwbp
import tf_dwbp
assert tf_dwbp is not first
use(tf_dwbp)
use(first)
""")

    @parameterized.parameters("_library", "ops", "gradients", "vectorize", "flops", "nn")
    def test_reloaded(self, module):
        _run(
            """
import importlib, sys, tf_dwbp
importlib.reload(importlib.import_module("tf_dwbp." + sys.argv[1]))
use(tf_dwbp)
importlib.reload(tf_dwbp)
use(tf_dwbp)
""",
            module,
        )

    @parameterized.parameters(True, False)
    def test_another_copy_of_the_libraries_is_harmless(self, used_before):
        _run(
            """
import pathlib, sys, tf_dwbp
if sys.argv[2] == "True":
    use(tf_dwbp)
for library in sorted(pathlib.Path(sys.argv[1]).glob("*.so")):
    tf.load_library(str(library))
use(tf_dwbp)
""",
            self._copy(),
            used_before,
        )

    @parameterized.parameters({}, {"compiler": "another"}, {"xla": False})
    def test_another_copy_of_the_package_is_refused(self, **build_info):
        copy = self._copy(**build_info)
        text = _run(
            """
import sys, tf_dwbp
use(tf_dwbp)
first = tf_dwbp
for name in [name for name in sys.modules if name.split(".")[0] == "tf_dwbp"]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])
try:
    import tf_dwbp
except ImportError as error:
    print(error)
use(first)
""",
            copy.parent,
        )
        # Bazel's files are links, and the system says what they lead to.
        first = _library.LIBRARY_PATH.resolve()
        self.assertRegex(
            text,
            f"^tf_dwbp is loaded in this process already, from {first}, and "
            f"cannot be loaded from {copy / '_tf_dwbp.so'} too: start Python again",
        )


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
