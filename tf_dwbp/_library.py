"""Finds and loads the compiled libraries, or says in one sentence why that is not possible."""

import functools
import json
import os
import pathlib
import warnings

_DIRECTORY = pathlib.Path(__file__).resolve().parent
LIBRARY_PATH = _DIRECTORY / "_tf_dwbp.so"
XLA_LIBRARY_PATH = _DIRECTORY / "_tf_dwbp_xla.so"
BUILD_INFO_PATH = _DIRECTORY / "_build_info.json"


def _import_tensorflow():
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ImportError(
            "tf_dwbp needs TensorFlow, which is not installed: install 'tf-dwbp[cpu]' or "
            "'tf-dwbp[gpu]', or TensorFlow itself."
        ) from None
    return tensorflow


def check_version(built: str, running: str) -> None:
    """Raises ImportError unless the library was built for the TensorFlow that runs.

    TensorFlow promises no binary compatibility between versions; loading a library that was
    built for another one fails with an undefined symbol, or worse, later.

    Args:
      built: version of TensorFlow that the library was compiled against, e.g. "2.21.0".
      running: version of TensorFlow that is imported.
    """
    if built != running:
        raise ImportError(
            f"tf_dwbp was built for TensorFlow {built}, but TensorFlow {running} is installed: "
            f"install TensorFlow {built}, or build tf_dwbp again for {running}."
        )


def check_cpu_isa(asked: str | None, built: list[str]) -> None:
    """Raises ValueError unless the kernels were built for the instruction set that is asked for.

    Args:
      asked: the value of TF_DWBP_CPU_ISA; None or "" leaves the choice to the library.
      built: names of the instruction sets that the library has kernels for.
    """
    if asked and asked not in built:
        raise ValueError(
            f"TF_DWBP_CPU_ISA is {asked!r}, but the kernels were built for {', '.join(built)}."
        )


def build_info() -> dict:
    """What the package was built with.

    Returns:
      A dictionary: `tensorflow_version`, `compiler`, `cpu_targets` (names of instruction sets),
      `cuda_version` (for example "13.0") and `cuda_architectures` (90 stands for sm_90), both
      None in a build without GPU kernels; `xla`, whether XLA compiles the ops, and `why_no_xla`,
      None or a line of text.
    """
    try:
        return json.loads(BUILD_INFO_PATH.read_text())
    except FileNotFoundError:
        raise ImportError(
            f"tf_dwbp is not built: {BUILD_INFO_PATH} is missing; "
            "run `pip install .` (or `pip install -e .`) in its source tree."
        ) from None


@functools.cache
def load():
    """Loads the libraries once a process and returns the ops' module of generated wrappers."""
    tensorflow = _import_tensorflow()
    info = build_info()
    check_version(info["tensorflow_version"], tensorflow.__version__)
    check_cpu_isa(os.environ.get("TF_DWBP_CPU_ISA"), info["cpu_targets"])
    ops = tensorflow.load_op_library(str(LIBRARY_PATH))
    if info["xla"]:
        _load_xla_library(tensorflow)
    return ops


def _load_xla_library(tensorflow):
    """Loads the XLA library, whose neighbour must have been loaded. All but jit goes without."""
    try:
        tensorflow.load_library(str(XLA_LIBRARY_PATH))
    except (OSError, tensorflow.errors.OpError) as error:
        message = f"tf_dwbp's ops will not compile with jit_compile=True: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
