"""What is declared about the package agrees with what the package is."""

import ast
import collections
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from unittest import mock

import pytest
import setuptools
import tensorflow as tf

import package_copy
import tf_dwbp
from build_support import tensorflow_versions, tensorflow_wheel
from tf_dwbp import _library, cli
from tf_dwbp.tools.problem import DTYPES

ROOT = pathlib.Path(__file__).absolute().parents[2]


def _read_setup():
    """The names in setup.py, and the arguments that it calls setup() with."""
    with (
        mock.patch("setuptools.setup") as setup,
        mock.patch.object(sys, "path", [*sys.path]),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # at the age of this environment's setuptools
        names = runpy.run_path(str(ROOT / "setup.py"))
    return names, setup.call_args.kwargs


class RequirementsTest(tf.test.TestCase):
    def test_the_extras_bring_the_version_that_is_built_for(self):
        _, arguments = _read_setup()
        extras = arguments["extras_require"]
        version = tensorflow_versions.check(tf.__version__, "TensorFlow is")
        self.assertEqual(extras["cpu"], [*extras["cli"], f"tensorflow-cpu=={version}"])
        self.assertEqual(extras["gpu"], [*extras["cli"], f"tensorflow=={version}"])
        label = tensorflow_versions.label(version)
        self.assertEqual(arguments["version"], f"{tf_dwbp.__version__}+{label}")

    def test_what_cannot_be_built_for_is_said_at_once(self):
        for installed, asked, text in (
            ("2.18.1", "", "the installed TensorFlow is 2.18.1, but tf_dwbp can be built for"),
            ("2.21.0", "2.20.0", "TF_DWBP_TENSORFLOW is 2.20.0, but the installed TensorFlow is"),
        ):
            with (
                mock.patch.object(tensorflow_wheel, "owner", return_value=("it", installed)),
                mock.patch.dict(os.environ, TF_DWBP_TENSORFLOW=asked),
                self.assertRaisesRegex(SystemExit, f"^tf_dwbp: {text}"),
            ):
                _read_setup()

    def test_the_commands_need_what_the_extra_brings(self):
        _, arguments = _read_setup()
        modules = [name.replace("-", "_") for name in arguments["extras_require"]["cli"]]
        self.assertEqual(sorted(modules), sorted(cli.EXTRA_MODULES))

    def test_what_the_package_imports_is_declared(self):
        """By an extra, unless all of the package needs it."""
        _, arguments = _read_setup()
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        declared = set(re.search(r"^dependencies = (.*)$", project, re.MULTILINE)[1].split('"'))
        for requirements in arguments["extras_require"].values():
            declared |= {re.split("[=>]", text)[0].replace("-", "_") for text in requirements}
        # TensorFlow brings Keras and Protocol Buffers, and is what all else is for.
        declared |= {"tensorflow", "keras", "google", "tf_dwbp", "sklearn"}
        declared.add("tf_keras")  # the Keras of old, in whose place the ops come where it is loaded
        for path in (ROOT / "tf_dwbp").rglob("*.py"):
            imported = set()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported.add(node.module.partition(".")[0])
            self.assertEmpty(imported - declared - sys.stdlib_module_names, str(path))


class SourcesTest(tf.test.TestCase):
    def test_each_source_is_listed_once(self):
        lists = runpy.run_path(str(ROOT / "cc" / "sources.bzl"))
        names = ("LIBRARY_SOURCES", "TEST_SOURCES", "GPU_LIBRARY_SOURCES", "GPU_HARNESS_SOURCES")
        names += ("XLA_SOURCES", "GPU_XLA_SOURCES", "EMULATOR_SOURCES")
        listed = [source for name in names for source in lists[name]]
        listed += [lists["KERNEL_SOURCE"], lists["GPU_KERNEL_SOURCE"]]
        # The two test programs share their main().
        listed += set(lists["GPU_TEST_SOURCES"]) - set(lists["TEST_SOURCES"])
        there = [
            path.relative_to(ROOT).as_posix()
            for pattern in ("**/*.cc", "**/*.cu")
            for path in (ROOT / "cc").glob(pattern)
        ]
        self.assertEqual(collections.Counter(listed), collections.Counter(there))
        self.assertContainsSubset(lists["CORE_SOURCES"], lists["LIBRARY_SOURCES"])

    def test_gpu_kernels_are_compiled_for_every_dtype(self):
        lists = runpy.run_path(str(ROOT / "cc" / "sources.bzl"))
        header = (ROOT / "cc" / "conv" / "dtype.h").read_text(encoding="utf-8")
        types = dict(re.findall(r"^  X\(k\w+, (\w+), \"(\w+)\"\)", header, re.MULTILINE))
        self.assertEqual(lists["TYPES"], list(types))
        self.assertEqual(list(DTYPES), list(types.values()))

    def test_no_production_code_includes_a_test(self):
        for path in (ROOT / "cc").glob("**/*"):
            if path.is_file() and path.parent != ROOT / "cc" / "tests":
                self.assertNotIn('#include "cc/tests/', path.read_text(encoding="utf-8"), path)


class TestsTest(tf.test.TestCase):
    def test_each_file_of_tests_runs_them(self):
        # Bazel runs the file itself: one that does nothing then would pass.
        files = list((ROOT / "tests").glob("*/*_test.py"))
        self.assertNotEmpty(files)
        for path in files:
            text = path.read_text(encoding="utf-8")
            self.assertEndsWith(text, "    sys.exit(pytest.main([__file__]))\n", str(path))


class BuildTest(tf.test.TestCase):
    def test_the_build_info_is_of_this_build(self):
        info = json.loads(_library.BUILD_INFO_PATH.read_text(encoding="utf-8"))
        _library.check_version(info["tensorflow_version"], tf.__version__)
        self.assertNotEmpty(info["compiler"])
        self.assertIn("baseline", info["cpu_isas"])
        self.assertEqual(tf_dwbp.build_info(), {"native": True} | info)

    def test_cuda_is_all_there_or_not_at_all(self):
        info = tf_dwbp.build_info()
        if info["cuda_version"] is None:
            self.assertIsNone(info["cuda_architectures"])
        else:
            self.assertRegex(info["cuda_version"], r"^\d+\.\d+$")
            self.assertAllGreaterEqual(info["cuda_architectures"], 75)

    def test_the_xla_library_is_there_or_the_reason_why_not(self):
        info = tf_dwbp.build_info()
        self.assertEqual(info["xla"], _library.XLA_LIBRARY_PATH.exists())
        self.assertEqual(info["xla"], info["why_no_xla"] is None)
        if not info["xla"]:
            self.assertNotEmpty(info["why_no_xla"])


class WithoutLibraryTest(tf.test.TestCase):
    """What is built with TF_DWBP_NATIVE=0."""

    def setUp(self):
        super().setUp()
        self.tree = pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir()))
        self.package = package_copy.make(self.tree)
        package_copy.describe(self.package, tensorflow_version="1.2.3")
        (self.package / "_tf_dwbp.so").write_text("of an earlier build", encoding="utf-8")
        for name in ("setup.py", "pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.tree)
        shutil.copytree(ROOT / "build_support", self.tree / "build_support")

    def _build(self, command, native="0"):
        return subprocess.run(
            [sys.executable, "setup.py", "-q", command, "--dist-dir", "dist"],
            cwd=self.tree,
            env={"TF_DWBP_NATIVE": native, "CXX": "/no/compiler", "PATH": "", "TF_DWBP_CUDA": "0"},
            capture_output=True,
            encoding="utf-8",
        )

    def _described(self):
        return json.loads((self.package / "_build_info.json").read_text(encoding="utf-8"))

    def test_the_wheel_serves_all_platforms_and_has_no_library(self):
        # The build must import no TensorFlow; and there is no program that it could call.
        (self.tree / "tensorflow.py").write_text("0 / 0", encoding="utf-8")
        done = self._build("bdist_wheel")
        self.assertEqual(done.returncode, 0, done.stderr)
        (path,) = (self.tree / "dist").iterdir()
        self.assertEndsWith(path.name, "-py3-none-any.whl")
        with zipfile.ZipFile(path) as wheel:
            files = {name for name in wheel.namelist() if ".dist-info/" not in name}
            info = json.loads(wheel.read("tf_dwbp/_build_info.json"))
            (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
            required = re.findall("^Requires-Dist: (.*)$", wheel.read(metadata).decode(), re.M)
        self.assertEqual(info, {"native": False})
        there = {
            path.relative_to(self.tree).as_posix()
            for pattern in ("*.py", "*.html", "*.css", "*.js", "*.json", "py.typed")
            for path in self.package.rglob(pattern)
        }
        self.assertEqual(files, there)
        ours = [text for text in required if text.startswith("tensorflow")]
        self.assertEqual(
            ours, ['tensorflow-cpu>=2.16; extra == "cpu"', 'tensorflow>=2.16; extra == "gpu"']
        )
        self.assertEqual([text for text in required if ";" not in text], ["numpy", "packaging"])
        self.assertStartsWith(path.name, f"tf_dwbp-{tf_dwbp.__version__}-")
        # The source tree keeps the library that was built there.
        self.assertEqual(self._described(), {"tensorflow_version": "1.2.3"})

    def test_an_editable_install_tells_in_the_source_tree(self):
        done = self._build("editable_wheel")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self._described(), {"native": False})

    def test_with_the_library_a_compiler_is_asked_for(self):
        done = self._build("bdist_wheel", native="1")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("needs a C++17 compiler, and '/no/compiler' does not run", done.stderr)

    def test_another_setting_is_refused(self):
        done = self._build("bdist_wheel", native="no")
        self.assertEqual(done.returncode, 1)
        self.assertEndsWith(done.stderr, "TF_DWBP_NATIVE must be 0 or 1, but is 'no'.\n")


class InstalledFilesTest(tf.test.TestCase):
    def test_what_an_earlier_build_left_is_not_installed(self):
        root, build_lib = (pathlib.Path(tempfile.mkdtemp(dir=self.get_temp_dir())) for _ in "12")
        made, installed = root / "tf_dwbp", build_lib / "tf_dwbp"
        for path in (made, installed):
            path.mkdir()
        for name in ("_tf_dwbp.so", "_build_info.json"):
            (made / name).touch()
        (installed / "_tf_dwbp_xla.so").touch()

        names, _ = _read_setup()
        command = names["BuildLibrary"](setuptools.Distribution())
        command.inplace, command.build_lib = False, str(build_lib)
        builds_nothing = mock.Mock(spec=names["native"], OUTPUTS=names["native"].OUTPUTS)
        with mock.patch.dict(command.run.__globals__, ROOT=root, native=builds_nothing):
            command.run()
            outputs = command.get_outputs()
        there = {path.name for path in installed.iterdir()}
        self.assertEqual(there, {"_tf_dwbp.so", "_build_info.json"})
        self.assertEqual({pathlib.Path(output).name for output in outputs}, there)


class DocsTest(tf.test.TestCase):
    def test_the_readme_names_the_two_commands(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        self.assertIn('pip install ".[cpu]" && tf-dwbp conformance', readme)
        self.assertIn('pip install -e ".[cpu,test]" && pytest', readme)

    def test_tells_which_gpu_kernels_there_are(self):
        header = (ROOT / "cc" / "gpu" / "configurations.h").read_text(encoding="utf-8")
        lists = re.findall(r"k\w+Configurations\[\] = \{(.*?)\n\};", header, re.DOTALL)
        self.assertLen(lists, 2)
        for listed in lists:
            steps = [tuple(map(int, row)) for row in re.findall(r"\{(\d), (\d), (\d)\}", listed)]
            taps = sorted({taps for taps, _, _ in steps})
            strides = sorted({max(result, source) for _, result, source in steps})
            row = f"| {', '.join(f'{n}x{n}' for n in taps)} | {', '.join(map(str, strides))} (both "
            self.assertIn(row, (ROOT / "docs" / "gpus.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
