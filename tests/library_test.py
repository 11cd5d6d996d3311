"""Loading: the version check and what is said where TensorFlow or the build is missing."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
import tensorflow as tf

import tf_dwbp
from tf_dwbp import _library


def _import_error(directory, program="import tf_dwbp", **environment):
    """The last line that a failing import prints, in a process that sees `directory` first."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(directory)} | environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    return result.stderr.strip().splitlines()[-1]


class LibraryTest(tf.test.TestCase):
    def _copy_of_the_package(self):
        """A copy whose files can be changed, with the library left where it is."""
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        package = directory / "tf_dwbp"
        package.mkdir()
        for path in pathlib.Path(tf_dwbp.__file__).parent.glob("*"):
            if path.suffix in (".py", ".json"):
                shutil.copyfile(path, package / path.name)
        (package / "_tf_dwbp.so").symlink_to(_library.LIBRARY_PATH)
        return directory

    def _importing_copy(self, xla, xla_library=None):
        """The run of a program that imports such a copy and uses an op."""
        directory = self._copy_of_the_package()
        package = directory / "tf_dwbp"
        info = json.loads(_library.BUILD_INFO_PATH.read_text()) | {"xla": xla}
        (package / "_build_info.json").write_text(json.dumps(info))
        if xla_library is not None:
            (package / "_tf_dwbp_xla.so").write_text(xla_library)
        program = """if True:
            import tensorflow as tf, tf_dwbp
            print(tf_dwbp.ops.depthwise_conv2d(
                tf.ones([1, 3, 3, 1]), tf.ones([3, 3, 1, 1]), [1, 1, 1, 1], "VALID").numpy().sum())
        """
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(directory)},
            capture_output=True,
            text=True,
        )

    def test_built_for_the_version_that_runs(self):
        info = json.loads(_library.BUILD_INFO_PATH.read_text())
        self.assertEqual(info["tensorflow_version"], tf.__version__)

    def test_another_version_is_refused_and_both_are_named(self):
        with self.assertRaisesRegex(ImportError, r"built for TensorFlow 2\.20\.0.* 2\.21\.0 is"):
            _library.check_version("2.20.0", "2.21.0")
        with self.assertRaisesRegex(ImportError, r"built for TensorFlow 2\.21\.0.* 2\.21\.1 is"):
            _library.check_version("2.21.0", "2.21.1")
        _library.check_version("2.21.0", "2.21.0")

    def test_an_instruction_set_without_kernels_is_refused(self):
        with self.assertRaisesRegex(ValueError, "TF_DWBP_CPU_ISA is 'avx3'.* baseline, avx2"):
            _library.check_cpu_isa("avx3", ["baseline", "avx2"])
        for asked in (None, "", "avx2"):
            _library.check_cpu_isa(asked, ["baseline", "avx2"])
        root = pathlib.Path(tf_dwbp.__file__).parent.parent
        self.assertIn("'sse9'", _import_error(root, TF_DWBP_CPU_ISA="sse9"))

    def test_import_checks_the_version_before_it_loads(self):
        directory = self._copy_of_the_package()
        info = directory / "tf_dwbp" / "_build_info.json"
        info.write_text(json.dumps({"tensorflow_version": "1.2.3"}))
        (directory / "tf_dwbp" / "_tf_dwbp.so").unlink()  # loading it would fail otherwise
        self.assertRegex(
            _import_error(directory),
            f"ImportError: .*built for TensorFlow 1.2.3, but TensorFlow {tf.__version__} is",
        )

    def test_without_xla_kernels_nothing_is_missed(self):
        found = self._importing_copy(xla=False)
        self.assertEqual(found.stdout, "9.0\n", found.stderr)
        self.assertNotIn("jit_compile", found.stderr)

    def test_an_xla_library_that_does_not_load_costs_jit_only(self):
        for library in (None, "not a library"):
            found = self._importing_copy(xla=True, xla_library=library)
            self.assertEqual(found.stdout, "9.0\n", found.stderr)
            self.assertRegex(
                found.stderr, "RuntimeWarning: tf_dwbp's ops will not compile with jit_compile=True"
            )

    def test_without_tensorflow_one_sentence_says_so(self):
        directory = self._copy_of_the_package()
        program = "import sys; sys.modules['tensorflow'] = None; import tf_dwbp"
        self.assertRegex(
            _import_error(directory, program),
            r"ImportError: tf_dwbp needs TensorFlow, which is not installed: .*tf-dwbp\[cpu\]",
        )

    def test_without_a_build_one_sentence_says_so(self):
        directory = self._copy_of_the_package()
        (directory / "tf_dwbp" / "_build_info.json").unlink()
        self.assertRegex(
            _import_error(directory), "ImportError: tf_dwbp is not built: .*pip install"
        )


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
