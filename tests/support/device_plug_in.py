"""Builds the plug-in of tests/device, a device for TensorFlow whose memory is the CPU's."""

import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from build_support import tensorflow_wheel

NAME = "MY_NPU:0"
FAULT = "MY_NPU_FAULT"  # the environment variable that holds the name of a fault, see faults.h
_SOURCES = pathlib.Path(__file__).absolute().parents[1] / "device"
_LIST = re.compile(r"kNames = \{\n(.*?)\};", re.DOTALL)
# The list of faults; the first, which is none, has no name.
FAULTS = tuple(re.findall(r'"(\w+)"', _LIST.search((_SOURCES / "faults.h").read_text("utf-8"))[1]))
_FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")


@functools.cache
def path() -> str:
    """The plug-in's path. It is built once for its sources; the test is skipped without a compiler.

    Raises:
      CalledProcessError: it does not compile; the compiler's words are on standard error.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("no C++ compiler")
    wheel = tensorflow_wheel.find()
    sources = sorted(path for path in _SOURCES.iterdir() if path.suffix in (".cc", ".h"))
    told = [compiler, wheel.version, *_FLAGS, *(path.read_text("utf-8") for path in sources)]
    digest = hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]
    directory = pathlib.Path(tempfile.gettempdir()) / f"tf_dwbp_device_{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    built = directory / f"my_npu_{digest}.so"
    if not built.exists():
        partial = directory / f"{built.name}.{os.getpid()}"
        subprocess.run(
            [
                *(compiler, *_FLAGS, "-isystem", wheel.include),
                *(path for path in sources if path.suffix == ".cc"),
                *("-o", partial, f"-L{wheel.directory}", f"-l:{wheel.framework.name}"),
            ],
            check=True,
        )
        partial.replace(built)
    return str(built)
