"""Builds tf_dwbp against the TensorFlow wheel that the building interpreter has.

With TF_DWBP_NATIVE=0 in the environment, without the ops' library: then it needs neither a compiler
nor TensorFlow, and the wheel, of Python alone, serves every platform and every TensorFlow from
tensorflow_versions.OLDEST on. It judges other implementations and has no ops of its own.
"""

import json
import pathlib
import runpy
import sys

from setuptools import Distribution, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import SetupError

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # an isolated build does not look here by itself

from build_support import (  # noqa: E402
    backend,
    cuda_toolkit,
    native,
    tensorflow_versions,
    tensorflow_wheel,
    xla_headers,
)


class NativeDistribution(Distribution):
    """Holds native code, though none that setuptools would know how to compile."""

    def has_ext_modules(self):
        return True


class BuildLibrary(build_ext):
    """Compiles the op library and, where it can be built, the XLA library.

    The result always lies in the source tree too, so that editable installs work, and
    `python -m tf_dwbp` in the source tree after a plain install.
    """

    def run(self):
        package = ROOT / "tf_dwbp"
        try:
            native.build_library(tensorflow_wheel.find(), package, cuda_toolkit.find())
        except (
            native.BuildError,
            tensorflow_wheel.NotFound,
            cuda_toolkit.NotFound,
            xla_headers.BadSetting,
        ) as error:
            raise SetupError(str(error)) from None
        for made, installed in self._outputs().items():
            if made.exists():
                self.mkpath(str(installed.parent))
                self.copy_file(str(made), str(installed))
            else:
                installed.unlink(missing_ok=True)  # what an earlier build has left there

    def get_outputs(self):
        return [str(installed) for made, installed in self._outputs().items() if made.exists()]

    def _outputs(self):
        """Files in the source tree, and the places that they are copied to."""
        if self.inplace:
            return {}
        installed = pathlib.Path(self.build_lib) / "tf_dwbp"
        return {ROOT / "tf_dwbp" / name: installed / name for name in native.OUTPUTS}

    def get_output_mapping(self):
        return {}


class TaggedWheel(bdist_wheel):
    """The library does not touch CPython: one wheel serves every Python 3 of its platform."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class BuildWithoutLibrary(build_py):
    """Copies the Python files, and says in the description of the build that they are all."""

    def run(self):
        super().run()
        text = json.dumps({"native": False}) + "\n"
        source = ROOT / "tf_dwbp" / native.BUILD_INFO_NAME
        # The source tree serves editable installs; a library built there keeps its description.
        if self.editable_mode or not source.exists():
            source.write_text(text, encoding="utf-8")
        if not self.editable_mode:
            self._installed().write_text(text, encoding="utf-8")

    def get_outputs(self, include_bytecode=True):
        own = [] if self.editable_mode else [str(self._installed())]
        return [*super().get_outputs(include_bytecode), *own]

    def _installed(self):
        return pathlib.Path(self.build_lib) / "tf_dwbp" / native.BUILD_INFO_NAME


def _tensorflow():
    """The TensorFlow that is built for. Anything wrong with it is said before minutes of work."""
    try:
        return tensorflow_versions.choose(tensorflow_wheel.installed_version())
    except (tensorflow_versions.Unsupported, tensorflow_wheel.NotFound) as error:
        raise SystemExit(f"tf_dwbp: {error}") from None


def _version(tensorflow):
    """The package's version, with what it is built for behind a +."""
    version = runpy.run_path(str(ROOT / "tf_dwbp" / "_version.py"))["__version__"]
    # What is built from a source distribution has its version: pip insists.
    if not NATIVE or (ROOT / "PKG-INFO").exists() or "sdist" in sys.argv:
        return version
    return f"{version}+{tensorflow_versions.label(tensorflow)}"


if NATIVE := backend.is_native():
    TENSORFLOW = tensorflow_versions.DEFAULT if "sdist" in sys.argv else _tensorflow()
    REQUIRED = f"=={TENSORFLOW}"
    COMMANDS = {"build_ext": BuildLibrary, "bdist_wheel": TaggedWheel}
else:
    TENSORFLOW = None
    REQUIRED = f">={tensorflow_versions.OLDEST}"
    COMMANDS = {"build_py": BuildWithoutLibrary}

# What the commands of tf-dwbp take, other than info, explain and run.
CLI = ["jinja2", "ml-dtypes", "rich"]

# All else is in pyproject.toml.
setup(
    version=_version(TENSORFLOW),
    # Here, since setuptools before 77 would refuse what the later ones want to read there.
    license="Apache-2.0",
    extras_require={
        "cli": CLI,
        # TensorFlow, by two wheels of one package: whoever has one must not be given the other.
        "cpu": [*CLI, f"tensorflow-cpu{REQUIRED}"],
        "gpu": [*CLI, f"tensorflow{REQUIRED}"],
        # What `tf-dwbp bench` takes for its --plot and its --peer torch, as measured.
        "bench": [*CLI, "matplotlib", "torch==2.13.0"],
        # Its peers litert, ort and openvino.
        "runtimes": [*CLI, "ai-edge-litert", "flatbuffers", "onnx", "onnxruntime", "openvino"],
        # The images of `tf-dwbp train`, and its --plot.
        "train": [*CLI, "matplotlib", "scikit-learn"],
        # setuptools: tests build the package. Python 3.12 and later come without.
        "test": [*CLI, "absl-py", "pytest", "pytest-xdist", "scikit-learn", "setuptools"],
    },
    distclass=NativeDistribution if NATIVE else Distribution,
    cmdclass=COMMANDS,
)
