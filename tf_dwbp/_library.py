"""Finds and loads the compiled libraries, or says in one sentence why that is not possible."""

import contextlib
import functools
import json
import os
import pathlib
import re
import sys
import warnings

from tf_dwbp import _elf
from tf_dwbp._native import LIBRARY_PATH, implementations

_DIRECTORY = pathlib.Path(__file__).absolute().parent
XLA_LIBRARY_PATH = _DIRECTORY / "_tf_dwbp_xla.so"
BUILD_INFO_PATH = _DIRECTORY / "_build_info.json"
_THIS_PROGRAM = pathlib.Path("/proc/self/exe")


_AGAIN = "install tf-dwbp again, or run `pip install .` (or `pip install -e .`) in its source tree."

_NO_TENSORFLOW = (
    "tf_dwbp needs TensorFlow, which is not installed: install 'tf-dwbp[cpu]' or "
    "'tf-dwbp[gpu]', or TensorFlow itself."
)

_WITHOUT = (
    "tf_dwbp was built with TF_DWBP_NATIVE=0, without the ops' library: it judges other "
    "implementations (tf-dwbp conformance, fuzz); install without TF_DWBP_NATIVE=0 for the ops."
)

# What the library's build writes, by type. All else that build_info() returns is described there.
_BUILD_INFO = {
    "tensorflow_version": str,
    "compiler": str,
    "cpu_isas": list,
    "cuda_version": (str, type(None)),
    "cuda_architectures": (list, type(None)),
    "xla": bool,
    "why_no_xla": (str, type(None)),
}


def _import_tensorflow():
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        if error.name == "tensorflow":
            raise ImportError(_NO_TENSORFLOW) from None
        raise _of_tensorflow(error) from error
    except Exception as error:  # its own libraries may fail in any way
        raise _of_tensorflow(error) from error
    # Of an installation that was removed, a folder may be left, which Python imports.
    if not hasattr(tensorflow, "__version__"):
        raise _of_tensorflow("it has no version")
    return tensorflow


def _of_tensorflow(error):
    return ImportError(
        f"tf_dwbp needs TensorFlow, whose installation is not whole ({error}): install it again."
    )


def check_version(built: str, running: str) -> None:
    """Raises ImportError unless the library was built for the TensorFlow that runs.

    TensorFlow promises no binary compatibility between versions; loading a library that was
    built for another one fails with an undefined symbol, or worse, later.

    Args:
      built: version of TensorFlow that the library was compiled against, e.g. "2.21.0".
      running: version of TensorFlow that is imported, as pip or as TensorFlow writes it: the one
        says 2.22.0rc0, the other 2.22.0-rc0.
    """
    if not _same_version(built, running):
        raise ImportError(
            f"tf_dwbp was built for TensorFlow {built}, but TensorFlow {running} is installed: "
            f"install TensorFlow {built}, or build tf_dwbp again for {running}."
        )


def _same_version(a, b):
    from packaging import version  # here, since most processes of the program do not compare

    try:
        return version.Version(a) == version.Version(b)
    except version.InvalidVersion:  # of somebody's own build
        return a == b


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


def check_l3_mb(asked: str | None) -> None:
    """Raises ValueError unless the size of the L3 cache that is told is a number of MB.

    Args:
      asked: the value of TF_DWBP_L3_MB; None or "" leaves it to the system to tell.
    """
    if asked and not re.fullmatch(r"[0-9]{1,7}", asked):
        raise ValueError(
            f"TF_DWBP_L3_MB is {asked!r}, but has to be a whole number, of at most seven digits."
        )


def check_implementation(asked: str | None, known: dict[str, tuple[str, ...]]) -> None:
    """Raises ValueError unless some op has the implementation that is asked for.

    Args:
      asked: the value of TF_DWBP_IMPL; None or "" leaves the choice to the library.
      known: the names of each op's implementations.
    """
    names = dict.fromkeys(name for of_op in known.values() for name in of_op)
    if asked and asked not in names:
        raise ValueError(
            f"TF_DWBP_IMPL is {asked!r}, but the implementations are {', '.join(names)}."
        )


def build_info() -> dict:
    """What the package was built with.

    Returns:
      A dictionary: `native`, whether there is a library with the ops. Without, there is nothing
      else. With it `tensorflow_version`, `compiler`, `cpu_isas` (names of instruction sets),
      `cuda_version` (for example "13.0") and `cuda_architectures` (90 stands for sm_90), both
      None in a build without GPU kernels; `xla`, whether XLA compiles the ops, and `why_no_xla`,
      None or a line of text.

    Raises:
      ImportError: when there is no such description, or when it is damaged.
    """
    info = _read_build_info()
    if not info["native"]:
        return info
    for key, kind in _BUILD_INFO.items():
        if key not in info:
            raise _half(BUILD_INFO_PATH, f"it does not say {key}")
        if not isinstance(info[key], kind):
            raise _half(BUILD_INFO_PATH, f"{key} is {info[key]!r}")
    return info


def _read_build_info():
    try:
        info = json.loads(BUILD_INFO_PATH.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImportError(f"tf_dwbp is not built: {BUILD_INFO_PATH} is missing; {_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise _half(BUILD_INFO_PATH, error) from None
    if not isinstance(info, dict):
        raise _half(BUILD_INFO_PATH, "it does not describe a build")
    info = {"native": True} | info  # only a build without the library says it
    if not isinstance(info["native"], bool):
        raise _half(BUILD_INFO_PATH, f"native is {info['native']!r}")
    return info


def is_built() -> bool:
    """Whether the package has the ops' library: not where it was built with TF_DWBP_NATIVE=0.

    Raises:
      ImportError: when there is no description of the build, or when it is damaged.
    """
    return _read_build_info()["native"]


def check_built() -> None:
    """Raises ImportError, which says how the package was built, unless it has the library."""
    if not is_built():
        raise ImportError(_WITHOUT)


def _half(path, why):
    """The error for an installation of which a file is missing, or is not what it should be."""
    return ImportError(f"tf_dwbp's installation is damaged: {path}: {why}; {_AGAIN}")


def _check_library(path):
    """Raises ImportError unless the file is a whole library for this machine.

    The loader says it in words that help nobody, or, where the end is missing, kills the process.
    """
    try:
        header = _elf.read(path)
        python = _elf.read(_THIS_PROGRAM)
    except FileNotFoundError:
        raise _half(path, "the file is missing") from None
    except (OSError, ValueError) as error:
        raise _half(path, error) from None
    if header.machine != python.machine:
        raise ImportError(
            f"tf_dwbp was built for another kind of machine: {path} is for {header.machine}, and "
            f"Python for {python.machine}; {_AGAIN}"
        )


def load_or_exit() -> None:
    """Loads the library for a command of `tf-dwbp`, or ends it: with one line and status 2."""
    try:
        load()
    except (ImportError, ValueError) as error:
        print(f"tf-dwbp: {error}", file=sys.stderr)
        sys.exit(2)


def in_program() -> bool:
    """Whether this process is the program `tf-dwbp`, one of its workers, or a build tool.

    To be asked while the package is imported: later, Python's `sys.argv` says other things.
    """
    if _package_that_runs() in ("tf_dwbp", "build_support"):
        return True
    return pathlib.Path(sys.argv[0] if sys.argv else "").name in ("tf-dwbp", "tf-dwbp.exe")


def _package_that_runs() -> str:
    """The package of the module that Python was told to run by `-m`, or an empty text."""
    if sys.argv[:1] == ["-m"]:  # Python still looks for it
        arguments = sys.orig_argv
        module = arguments[arguments.index("-m") + 1] if "-m" in arguments else ""
    else:
        module = getattr(getattr(sys.modules.get("__main__"), "__spec__", None), "name", "")
    return module.partition(".")[0]


@functools.cache
def load():
    """Loads the libraries once a process and returns the ops' module of generated wrappers.

    Raises:
      ImportError: when the installation has no library, is not whole, is for another TensorFlow or
        machine, or when another copy of the package has been imported; the text says what to do.
      ValueError: when TF_DWBP_CPU_ISA asks for an instruction set that there are no kernels for,
        or TF_DWBP_IMPL for an implementation that there is none of, or TF_DWBP_L3_MB is no number.
    """
    check_built()
    tensorflow = _import_tensorflow()
    _check_all(tensorflow.__version__)
    try:
        ops = tensorflow.load_op_library(str(LIBRARY_PATH))
    except (OSError, RuntimeError, tensorflow.errors.OpError) as error:
        raise ImportError(
            f"tf_dwbp's library does not load into this TensorFlow: {error}; {_AGAIN}"
        ) from None
    # A library that finds the ops there registers none.
    if not hasattr(ops, "tf_dwbp_depthwise_conv2d_native"):
        raise ImportError(
            f"tf_dwbp is loaded in this process already, from {_other_copies()}, and cannot be "
            f"loaded from {LIBRARY_PATH} too: start Python again and import only one of them."
        )
    if asked := os.environ.get("TF_DWBP_IMPL"):
        _check_asked_implementation(asked)
    if build_info()["xla"]:
        _load_xla_library(tensorflow)
    return ops


def _check_all(version):
    """Checks what there is to check before TensorFlow of this version loads the libraries."""
    # Before all else: what is built for another version may be described in other words, too.
    if isinstance(built := _read_build_info().get("tensorflow_version"), str):
        check_version(built, version)
    info = build_info()
    check_cpu_isa(os.environ.get("TF_DWBP_CPU_ISA"), info["cpu_isas"])
    check_l3_mb(os.environ.get("TF_DWBP_L3_MB"))
    _check_library(LIBRARY_PATH)
    if info["xla"]:
        _check_library(XLA_LIBRARY_PATH)


def problem() -> str | None:
    """Why `load` would fail, if that shows without loading anything; None without a library, too.

    Raises:
      ImportError: when there is no description of the build, or when it is damaged.
    """
    if not is_built():
        return None
    version = installed_tensorflow()
    if version is None:
        return _NO_TENSORFLOW
    try:
        _check_all(version)
    except (ImportError, ValueError) as error:
        return str(error)
    return None


def installed_tensorflow() -> str | None:
    """The version of the installed TensorFlow, if there is one, found out without loading it."""
    from importlib import metadata, util

    try:
        if util.find_spec("tensorflow") is None:
            return None
    except ValueError:  # in `sys.modules`, but not a module
        return None
    for package in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return "of unknown version"


def _check_asked_implementation(asked):
    try:
        known = implementations()
    except AttributeError as error:  # a function of an older or a newer library's
        raise _half(LIBRARY_PATH, error) from None
    check_implementation(asked, known)


def _other_copies():
    """Where the other copies of the library lie that the process has loaded."""
    try:
        maps = pathlib.Path("/proc/self/maps").read_text(errors="replace", encoding="utf-8")
    except OSError:
        return "another path"
    paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines()}
    ours = {str(LIBRARY_PATH), os.path.realpath(LIBRARY_PATH)}
    others = sorted(path for path in paths - ours if os.path.basename(path) == LIBRARY_PATH.name)
    return ", ".join(others) or "another path"


def _load_xla_library(tensorflow):
    """Loads the XLA library, whose neighbour must have been loaded. All but jit goes without."""
    try:
        tensorflow.load_library(str(XLA_LIBRARY_PATH))
    except (OSError, RuntimeError, tensorflow.errors.OpError) as error:
        message = f"tf_dwbp's ops will not compile with jit_compile=True: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
