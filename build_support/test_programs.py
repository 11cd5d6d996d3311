"""Builds the programs that test the C++ code without TensorFlow."""

import dataclasses
import pathlib
import platform

from build_support import native

SANITIZER_FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Lines are all that reports need: more would double the time that sanitized kernels take.
DEBUG_FLAG = "-g1"
_FLAGS = [*native.BASE_FLAGS, "-O1", DEBUG_FLAG, "-fno-omit-frame-pointer"]
# The driver calls kernels by way of functions that count the calls.
_COUNTED_FLAGS = ["-DTF_DWBP_COUNT_KERNELS"]
# What the program that tests the core is built with -> flags besides, of compiler and linker.
CORE_TEST_FLAVOURS = {
    "plain": [],
    "sanitized": SANITIZER_FLAGS,
    "tsan": ["-fsanitize=thread"],
    # Counted by threads at the same time.
    "coverage": ["--coverage", "-fprofile-update=atomic"],
}


def build_gpu_test() -> pathlib.Path:
    """Builds the program that runs the GPU kernels on the CPU, under sanitizers."""
    sources = native.read_sources()
    directory = native.BUILD / "gpu_test"
    flags = [*_FLAGS, *SANITIZER_FLAGS]
    tested = [source for source in sources["CORE_SOURCES"] if not source.startswith("cc/cpu/")]
    for name in ("GPU_CORE_SOURCES", "EMULATOR_SOURCES", "GPU_TEST_SOURCES"):
        tested += sources[name]
    emulated = native.emulated_kernel_units(directory, flags)
    units = [*emulated, *native.plain_units(tested, flags, directory)]
    objects = native.compile_all((units, native.Headers()))
    native.link([*SANITIZER_FLAGS, *objects], directory / "gpu_test")
    return directory / "gpu_test"


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
    sources = native.read_sources()
    directory = core_test_directory(flavour, machine)
    flags, besides = test_flags(flavour), CORE_TEST_FLAVOURS[flavour]
    tested = [*sources["CORE_SOURCES"], *sources["TEST_SOURCES"]]
    units = native.units(tested, flags, directory, machine)
    kernels = sources["KERNEL_SOURCE"]
    if flavour == "coverage":
        # Optimized code knows lines less well; the kernels would be too slow without.
        units = [u if u.source == kernels else _unoptimized(u) for u in units]
    if flavour == "tsan":
        # Compiling the unrolled kernels takes half an hour with it. Threads meet in the drivers.
        plain = native.units(
            [], test_flags("plain"), core_test_directory("plain", machine), machine
        )
        units = [*plain, *(unit for unit in units if unit.source != kernels)]
    objects = native.compile_all((units, native.eigen_headers()))
    # An emulator has no other machine's libraries.
    static = ["-static"] if _unless_native(machine) else []
    native.link([*besides, *static, *objects], directory / "core_test")
    return directory / "core_test"


def _unoptimized(unit: native.Unit) -> native.Unit:
    return dataclasses.replace(unit, flags=[*unit.flags, "-O0"])


def _unless_native(machine: str) -> list[str]:
    return [] if machine == platform.machine() else [machine]
