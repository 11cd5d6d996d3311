"""Loading: the version check and what is said where TensorFlow or the build is missing."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import pytest
import tensorflow as tf
from absl.testing import parameterized

import package_copy
import tf_dwbp
from tf_dwbp import _library

_PROBLEM = "forward:float:NHWC:b1:4x4x2m1:k3x3:s1x1:d1x1:SAME"


def _import_error(directory, program="import tf_dwbp", **environment):
    """The last line that a failing import prints, in a process that sees `directory` first."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(directory)} | environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode != 0
    return result.stderr.strip().splitlines()[-1]


class LibraryTest(tf.test.TestCase, parameterized.TestCase):
    def _copy_of_the_package(self):
        """A copy whose files can be changed, with the library left where it is."""
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        package = package_copy.make(directory)
        (package / "_tf_dwbp.so").symlink_to(_library.LIBRARY_PATH)
        return directory

    def _set_build_info(self, directory, **changes):
        package_copy.describe(directory / "tf_dwbp", **_library.build_info() | changes)

    def _importing_copy(self, xla):
        """The run of a program that imports such a copy and uses an op."""
        directory = self._copy_of_the_package()
        self._set_build_info(directory, xla=xla)
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
            encoding="utf-8",
        )

    def test_built_for_the_version_that_runs(self):
        info = json.loads(_library.BUILD_INFO_PATH.read_text(encoding="utf-8"))
        _library.check_version(info["tensorflow_version"], tf.__version__)

    def test_another_version_is_refused_and_both_are_named(self):
        with self.assertRaisesRegex(ImportError, r"built for TensorFlow 2\.20\.0.* 2\.21\.0 is"):
            _library.check_version("2.20.0", "2.21.0")
        with self.assertRaisesRegex(ImportError, r"built for TensorFlow 2\.21\.0.* 2\.21\.1 is"):
            _library.check_version("2.21.0", "2.21.1")
        with self.assertRaisesRegex(ImportError, r"built for TensorFlow 2\.22\.0rc0.* 2\.22\.0 "):
            _library.check_version("2.22.0rc0", "2.22.0")
        with self.assertRaisesRegex(ImportError, r"built for TensorFlow 2\.22\.0.* mine is"):
            _library.check_version("2.22.0", "mine")

    def test_a_version_is_the_same_however_it_is_written(self):
        for built, running in (("2.21.0", "2.21.0"), ("2.22.0rc0", "2.22.0-rc0"), ("me", "me")):
            _library.check_version(built, running)

    def test_an_instruction_set_without_kernels_is_refused(self):
        with self.assertRaisesRegex(ValueError, "TF_DWBP_CPU_ISA is 'avx3'.* baseline, avx2"):
            _library.check_cpu_isa("avx3", ["baseline", "avx2"])
        for asked in (None, "", "avx2"):
            _library.check_cpu_isa(asked, ["baseline", "avx2"])
        root = pathlib.Path(tf_dwbp.__file__).parent.parent
        self.assertIn("'sse9'", _import_error(root, TF_DWBP_CPU_ISA="sse9"))

    def test_a_size_of_l3_that_is_none_is_refused(self):
        for asked in ("much", "-1", "1.5", "32MB", "12345678"):
            with self.assertRaisesRegex(ValueError, f"TF_DWBP_L3_MB is '{asked}', .*whole number"):
                _library.check_l3_mb(asked)
        for asked in (None, "", "0", "480"):
            _library.check_l3_mb(asked)
        root = pathlib.Path(tf_dwbp.__file__).parent.parent
        self.assertIn("TF_DWBP_L3_MB is 'all'", _import_error(root, TF_DWBP_L3_MB="all"))

    def test_an_implementation_that_there_is_none_of_is_refused(self):
        known = {"forward": ("direct", "packed"), "filter_grad": ("packed", "tapwise")}
        error = "TF_DWBP_IMPL is 'best', but the implementations are direct, packed, tapwise."
        with self.assertRaisesRegex(ValueError, error):
            _library.check_implementation("best", known)
        for asked in (None, "", "tapwise"):
            _library.check_implementation(asked, known)
        root = pathlib.Path(tf_dwbp.__file__).parent.parent
        self.assertIn(
            "ValueError: TF_DWBP_IMPL is 'best'", _import_error(root, TF_DWBP_IMPL="best")
        )

    def test_import_checks_the_version_before_it_loads(self):
        directory = self._copy_of_the_package()
        info = directory / "tf_dwbp" / "_build_info.json"
        info.write_text(json.dumps({"tensorflow_version": "1.2.3"}), encoding="utf-8")
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
        with (
            mock.patch.object(tf, "load_library", side_effect=OSError("undefined symbol")),
            self.assertWarnsRegex(RuntimeWarning, "jit_compile=True: undefined symbol"),
        ):
            _library._load_xla_library(tf)

    @parameterized.parameters(
        ("empty", 0), ("cut off", 3), ("cut off", 40), ("cut off", 5000), ("cut off", -1)
    )
    def test_a_library_of_which_there_is_a_part(self, text, size):
        path = pathlib.Path(self.get_temp_dir()) / "_tf_dwbp.so"
        path.write_bytes(_library.LIBRARY_PATH.read_bytes()[:size])
        self._assert_damaged(path, "the file is " + ("no library" if size == 3 else text))

    def test_what_is_no_library(self):
        path = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir())) / "_tf_dwbp.so"
        self._assert_damaged(path, "the file is missing")
        path.mkdir()
        self._assert_damaged(path, "Is a directory")
        path.rmdir()
        path.write_text("not a library", encoding="utf-8")
        self._assert_damaged(path, "the file is no library")

    def _assert_damaged(self, path, text):
        with self.assertRaisesRegex(
            ImportError, f"^tf_dwbp's installation is damaged: {path}: .*{text}.*; install tf-dwbp"
        ):
            _library._check_library(path)

    def test_a_library_for_another_machine(self):
        path = pathlib.Path(self.get_temp_dir()) / "_tf_dwbp.so"
        other = bytearray(_library.LIBRARY_PATH.read_bytes())
        other[18:20] = (243).to_bytes(2, "little")
        path.write_bytes(other)
        with self.assertRaisesRegex(
            ImportError, f"^tf_dwbp was built for another kind of machine: {path} is for riscv, 64"
        ):
            _library._check_library(path)

    def test_import_checks_both_libraries_before_it_loads(self):
        for library in ("_tf_dwbp.so", "_tf_dwbp_xla.so"):
            directory = self._copy_of_the_package()
            path = directory / "tf_dwbp" / library
            self._set_build_info(directory, xla=True)
            path.unlink(missing_ok=True)
            path.write_bytes(_library.LIBRARY_PATH.read_bytes()[:100000])
            self.assertRegex(
                _import_error(directory),
                f"^ImportError: tf_dwbp's installation is damaged: {path}: the file is cut off",
            )

    @parameterized.parameters(
        ("explain", {}, "tf-dwbp: tf_dwbp's installation is damaged: "),
        ("explain", {"TF_DWBP_CPU_ISA": "sse9"}, "tf-dwbp: TF_DWBP_CPU_ISA is 'sse9', but the"),
    )
    def test_the_program_says_it_in_one_line(self, command, environment, text):
        directory = self._copy_of_the_package()
        if not environment:
            (directory / "tf_dwbp" / "_build_info.json").write_text("{", encoding="utf-8")
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "tf_dwbp",
                command,
                *([_PROBLEM] if command == "explain" else []),
            ],
            cwd=directory,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
            capture_output=True,
            encoding="utf-8",
        )
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        self.assertStartsWith(result.stderr.strip().splitlines()[-1], text)

    def _info(self, directory, *arguments, **environment):
        """The exit status of `tf-dwbp info`, and what it says the problem is."""
        printed = [
            subprocess.run(
                [sys.executable, "-m", "tf_dwbp", "info", *arguments, *form],
                cwd=directory,
                env=os.environ | {"PYTHONPATH": str(directory)} | environment,
                capture_output=True,
                encoding="utf-8",
            )
            for form in ([], ["--json"])
        ]
        for done in printed:
            self.assertNotIn("Traceback", done.stderr)
        problem = json.loads(printed[1].stdout)["problem"]
        line = f"problem     {problem}" if problem else "the ops' library"
        self.assertIn(f"\n{line}", printed[0].stdout)
        self.assertEqual(printed[0].returncode, printed[1].returncode)
        return printed[0].returncode, problem

    def test_info_says_why_the_library_does_not_load(self):
        directory = self._copy_of_the_package()
        library = directory / "tf_dwbp" / "_tf_dwbp.so"
        self._set_build_info(directory, xla=False)
        self.assertEqual(self._info(directory), (0, None))
        status, problem = self._info(directory, TF_DWBP_CPU_ISA="sse9")
        self.assertEqual(status, 2)
        self.assertStartsWith(problem, "TF_DWBP_CPU_ISA is 'sse9'")
        self._set_build_info(directory, tensorflow_version="1.2.3")
        status, problem = self._info(directory)
        self.assertEqual(status, 2)
        self.assertStartsWith(problem, "tf_dwbp was built for TensorFlow 1.2.3, but TensorFlow 2.")
        self._set_build_info(directory, xla=False)
        library.unlink()
        self.assertRegex(self._info(directory)[1], "damaged: .*the file is missing")
        (directory / "tf_dwbp" / "_build_info.json").write_text("{", encoding="utf-8")
        status, problem = self._info(directory)
        self.assertEqual(status, 2)
        self.assertStartsWith(problem, "tf_dwbp's installation is damaged: ")

    def test_info_loads_the_library_if_told_to(self):
        directory = self._copy_of_the_package()
        self._set_build_info(directory, xla=False)
        # Nothing speaks against this one, but it is another.
        library = directory / "tf_dwbp" / "_tf_dwbp.so"
        library.unlink()
        library.symlink_to(sys.executable)
        self.assertEqual(self._info(directory), (0, None))
        status, problem = self._info(directory, "--load", TF_CPP_MIN_LOG_LEVEL="3")
        self.assertEqual(status, 2)
        self.assertStartsWith(problem, "tf_dwbp's library does not load into this TensorFlow: ")

    def test_info_without_tensorflow(self):
        with mock.patch("importlib.util.find_spec", return_value=None):
            self.assertStartsWith(_library.problem(), "tf_dwbp needs TensorFlow, which is not ")
        self.assertIsNone(_library.problem())

    def test_a_whole_library_that_does_not_load(self):
        directory = self._copy_of_the_package()
        self._set_build_info(directory, xla=False)
        path = directory / "tf_dwbp" / "_tf_dwbp.so"
        other = _library.LIBRARY_PATH.read_bytes()
        # A library that it is linked to goes by another name.
        name = b"libtensorflow_framework.so.2\0"
        self.assertIn(name, other)
        path.unlink()
        path.write_bytes(other.replace(name, name.replace(b"framework", b"ohterwork")))
        self.assertRegex(
            _import_error(directory),
            "^ImportError: tf_dwbp's library does not load into this TensorFlow: .*; install",
        )

    @parameterized.parameters(
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "it does not describe a build"),
        ("{}", "it does not say tensorflow_version"),
        ('{"tensorflow_version": 3}', "tensorflow_version is 3"),
        ('{"native": 1}', "native is 1"),
        (b"\xff\xfe", "codec can't decode"),
        (None, "Is a directory"),
    )
    def test_a_description_of_the_build_that_is_not_whole(self, content, text):
        path = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir())) / "_build_info.json"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with (
            mock.patch.object(_library, "BUILD_INFO_PATH", path),
            self.assertRaisesRegex(
                ImportError,
                f"^tf_dwbp's installation is damaged: {path}: .*{text}.*; install tf-dwbp again",
            ),
        ):
            _library.build_info()

    def test_each_entry_of_the_description_is_wanted(self):
        info = _library.build_info()
        for key in info.keys() - {"native"}:
            without = {other: value for other, value in info.items() if other != key}
            for wrong, text in (
                (without, f"it does not say {key}"),
                (info | {key: 7}, f"{key} is 7"),
            ):
                with (
                    mock.patch.object(_library, "_read_build_info", return_value=wrong),
                    self.assertRaisesRegex(ImportError, f"tf_dwbp's installation.*{text}"),
                ):
                    _library.build_info()

    @parameterized.parameters(
        ("", "it has no version"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError('no such symbol')", "no such symbol"),
    )
    def test_a_tensorflow_that_is_not_whole(self, content, text):
        directory = self._copy_of_the_package()
        (directory / "tensorflow.py").write_text(content, encoding="utf-8")
        self.assertRegex(
            _import_error(directory),
            f"^ImportError: tf_dwbp needs TensorFlow, whose installation is not whole .{text}",
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
