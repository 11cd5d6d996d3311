"""Builds tf_dwbp against the TensorFlow wheel that the building interpreter has.

With TF_DWBP_NATIVE=0 in the environment, without the ops' library: then it needs neither a compiler
nor TensorFlow, and the wheel, of Python alone, serves every platform and every TensorFlow from
OLDEST_TENSORFLOW on. It judges other implementations and has no ops of its own.
"""

import importlib.util
import json
import os
import pathlib
import sys

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import SetupError

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

# The one place for TensorFlow's version. A library built for it loads under no other.
TENSORFLOW_VERSION = "2.21.0"
# What the package without a library has been tried with.
OLDEST_TENSORFLOW = "2.16"

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # an isolated build does not look here by itself

from build_support import cuda_toolkit, native, tensorflow_wheel, xla_headers  # noqa: E402


def _is_native():
    wanted = os.environ.get("TF_DWBP_NATIVE", "")
    if wanted not in ("", "0", "1"):
        raise SystemExit(f"TF_DWBP_NATIVE must be 0 or 1, but is {wanted!r}.")
    return wanted != "0"


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


if NATIVE := _is_native():
    TENSORFLOW = f"=={TENSORFLOW_VERSION}"
    COMMANDS = {"build_ext": BuildLibrary, "bdist_wheel": TaggedWheel}
else:
    TENSORFLOW = f">={OLDEST_TENSORFLOW}"
    COMMANDS = {"build_py": BuildWithoutLibrary}

setup(
    name="tf-dwbp",
    version="0.1.0",
    description="Depthwise convolution and its gradients for TensorFlow, right everywhere, fast",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The tf_dwbp Authors",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["tf_dwbp", "tf_dwbp.*"]),
    package_data={"": ["*.html", "*.css", "*.js"]},
    install_requires=["jinja2", "ml-dtypes", "numpy", "rich"],
    extras_require={
        # Two wheels of one package: whoever has one must not be given the other.
        "cpu": [f"tensorflow-cpu{TENSORFLOW}"],
        "gpu": [f"tensorflow{TENSORFLOW}"],
        "test": ["absl-py", "pytest", "pytest-xdist", "scikit-learn"],
        # What `tf-dwbp bench` takes for its --plot and its --peer torch, as measured.
        "bench": ["matplotlib", "torch==2.13.0"],
        # The images of `tf-dwbp train`, and its --plot.
        "train": ["matplotlib", "scikit-learn"],
    },
    # The headers to build against, for isolated builds; --no-build-isolation uses what is there.
    setup_requires=(
        [f"tensorflow-cpu{TENSORFLOW}"]
        if NATIVE and not importlib.util.find_spec("tensorflow")
        else []
    ),
    entry_points={"console_scripts": ["tf-dwbp = tf_dwbp.cli:main"]},
    distclass=NativeDistribution if NATIVE else Distribution,
    cmdclass=COMMANDS,
)
