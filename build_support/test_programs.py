"""Builds the programs that test the C++ code without TensorFlow."""

import itertools
import pathlib
import platform
import subprocess

from build_support import compiling, native

SANITIZER_FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Lines are all that reports need: more would double the time that sanitized kernels take.
DEBUG_FLAG = "-g1"
_FLAGS = [*native.BASE_FLAGS, "-O1", DEBUG_FLAG, "-fno-omit-frame-pointer"]
# Each load and store of a kernel is a call: that takes a third of the time to compile.
_KERNEL_SANITIZER_FLAGS = [
    "-fsanitize=address",
    "-fno-sanitize-recover=all",
    "--param=asan-instrumentation-with-call-threshold=0",
]
# Kernels are hundreds of functions, and a test calls each for a moment: at -O1 the sanitizers' code
# takes up to two minutes an isa to compile, like this seconds.
_QUICKLY_COMPILED = "-O0"
# What tests compare with, which nothing watches, for calls of real sizes.
_ORACLE = ["cc/tests/definition.cc"]
_ORACLE_FLAGS = [*native.BASE_FLAGS, "-O3", DEBUG_FLAG]
# The driver calls kernels by way of functions that count the calls.
_COUNTED_FLAGS = ["-DTF_DWBP_COUNT_KERNELS"]
# What the program that tests the core is built with -> flags besides, of compiler and linker.
CORE_TEST_FLAVOURS = {
    "plain": [],
    "sanitized": SANITIZER_FLAGS,
    "tsan": ["-fsanitize=thread"],
    # Counted by threads at the same time. Optimized code knows lines less well.
    "coverage": ["--coverage", "-fprofile-update=atomic", "-O0"],
}


_GPU_TEST = native.BUILD / "gpu_test"
_GPU_TEST_FLAGS = [*_FLAGS, *SANITIZER_FLAGS]


def build_gpu_test() -> pathlib.Path:
    """Builds the program that runs the GPU kernels on the CPU, under sanitizers."""
    objects = native.compile_all(
        (
            [*_emulated(), *_emulated_plain(native.read_sources()["GPU_TEST_SOURCES"])],
            native.Headers(),
        )
    )
    native.link([*SANITIZER_FLAGS, *objects], _GPU_TEST / "gpu_test")
    return _GPU_TEST / "gpu_test"


def build_gpu_harness() -> pathlib.Path:
    """Builds the library that tests/gpu/harness.py loads, emulated, under sanitizers."""
    entries = native.emulated_harness_units(_GPU_TEST, _GPU_TEST_FLAGS)
    objects = native.compile_all(([*_emulated(), *entries], native.Headers()))
    native.link(["-shared", *SANITIZER_FLAGS, *objects], _GPU_TEST / "gpu_harness.so")
    return _GPU_TEST / "gpu_harness.so"


def sanitizer_runtime() -> str:
    """What a program has to load first that is not built with the sanitizers itself."""
    command = [*compiling.compiler(), "-print-file-name=libasan.so"]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()


def _emulated():
    """The GPU kernels and their driver, on the emulator."""
    sources = native.read_sources()
    core = [source for source in sources["CORE_SOURCES"] if not source.startswith("cc/cpu/")]
    core += [*sources["GPU_CORE_SOURCES"], *sources["EMULATOR_SOURCES"]]
    kernels = native.emulated_kernel_units(_GPU_TEST, _GPU_TEST_FLAGS)
    return [*kernels, *_emulated_plain(core)]


def _emulated_plain(sources):
    return _plain(sources, _GPU_TEST_FLAGS, _GPU_TEST)


def _plain(sources, flags, directory):
    """All that is compiled once; the oracle in its own way."""
    watched = [source for source in sources if source not in _ORACLE]
    oracle = [source for source in sources if source in _ORACLE]
    units = native.plain_units(watched, flags, directory)
    # Last: of an inline function that both have, the linker takes the first.
    return [*units, *native.plain_units(oracle, _ORACLE_FLAGS, directory)]


def core_test_directory(flavour: str, machine: str = platform.machine()) -> pathlib.Path:
    """Where build_core_test() puts the program and its objects."""
    suffix = [] if flavour == "plain" else [flavour]
    return native.BUILD / "_".join(["core_test", *suffix, *_unless_native(machine)])


def test_flags(flavour: str) -> list[str]:
    """What the compiler is told for build_core_test()."""
    return [*_FLAGS, *_COUNTED_FLAGS, *CORE_TEST_FLAVOURS[flavour]]


def build_core_test(flavour: str = "plain", machine: str = platform.machine()) -> pathlib.Path:
    """Builds the program that tests the core without TensorFlow, and returns its path.

    For another machine than this one, the compiler in CXX has to make programs for that.
    """
    directory, besides = core_test_directory(flavour, machine), CORE_TEST_FLAVOURS[flavour]
    units = core_test_units(core_test_sources(), flavour, machine)
    objects = native.compile_all((units, native.eigen_headers()))
    # An emulator has no other machine's libraries.
    static = ["-static"] if _unless_native(machine) else []
    native.link([*besides, *static, *objects], directory / "core_test")
    return directory / "core_test"


def core_test_sources() -> list[str]:
    """The driver's and the tests', without the kernels'."""
    sources = native.read_sources()
    return [*sources["CORE_SOURCES"], *sources["TEST_SOURCES"]]


def core_test_units(
    sources: list[str], flavour: str = "plain", machine: str = platform.machine()
) -> list[native.Unit]:
    """The kernels, and sources of the driver or of tests, as build_core_test() has them."""
    directory, flags = core_test_directory(flavour, machine), test_flags(flavour)
    kernels = itertools.chain(*_kernels(flavour, machine).values())
    return [*kernels, *_plain(sources, [*flags, *native.have(machine)], directory)]


def _kernels(flavour, machine):
    """Instruction set -> the kernels for it, once for each type."""
    directory, flags = core_test_directory(flavour, machine), test_flags(flavour)
    if flavour in ("plain", "tsan") and not _unless_native(machine):
        # What is tested is what the op library has. With ThreadSanitizer compiling the kernels
        # takes half an hour; threads meet in the drivers.
        return native.library_kernels()
    if flavour == "sanitized":
        # Undefined behaviour is looked for in the baseline's: all but simd.h is the same in others.
        calls = [*_FLAGS, *_KERNEL_SANITIZER_FLAGS, _QUICKLY_COMPILED]
        watched = native.kernel_units([*flags, _QUICKLY_COMPILED], directory, machine)
        return native.kernel_units(calls, directory, machine) | {"baseline": watched["baseline"]}
    return native.kernel_units(flags, directory, machine)


def _unless_native(machine: str) -> list[str]:
    return [] if machine == platform.machine() else [machine]
