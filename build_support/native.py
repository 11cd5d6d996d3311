"""Builds the libraries, and parts of them, from the C++ sources that cc/sources.bzl lists."""

import contextlib
import hashlib
import itertools
import json
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Sequence

from build_support import tensorflow_wheel, xla_headers
from build_support.compiling import (
    PTXAS_ACCOUNT,
    ROOT,
    BuildError,
    Headers,
    Unit,
    compile_all,
    compiler_version,
    link,
)
from build_support.cuda_toolkit import CudaToolkit, why_not
from build_support.tensorflow_wheel import TensorFlowWheel

BUILD = ROOT / "build"
LIBRARY_NAME = "_tf_dwbp.so"
XLA_LIBRARY_NAME = "_tf_dwbp_xla.so"
BUILD_INFO_NAME = "_build_info.json"
# What a build can lead to; the second is not always there.
OUTPUTS = (LIBRARY_NAME, XLA_LIBRARY_NAME, BUILD_INFO_NAME)

BASE_FLAGS = ["-std=c++17", "-fPIC", "-pthread", "-Wall", "-Wextra", "-iquote", "."]

# NDEBUG as in the wheel's own build: some of its headers depend on it.
_LIBRARY_FLAGS = [
    *BASE_FLAGS,
    "-O3",
    "-DNDEBUG",
    "-fvisibility=hidden",
    "-D_GLIBCXX_USE_CXX11_ABI=1",
    "-DEIGEN_MAX_ALIGN_BYTES=64",
]

# Where the source tree lies is of no interest to who uses the libraries.
_PREFIX_MAP = f"-ffile-prefix-map={ROOT}=."

# For g++, CUDA's sources with an emulator in CUDA's place.
_EMULATED_FLAGS = ["-x", "c++", "-Wno-unknown-pragmas"]


def read_sources() -> dict:
    """The names that cc/sources.bzl defines."""
    names: dict = {}
    exec((ROOT / "cc" / "sources.bzl").read_text(encoding="utf-8"), names)
    return names


def cpu_isas(machine: str = platform.machine()) -> dict[str, list[str]]:
    """Name -> flags of the instruction sets that programs for the machine are built for."""
    isas = read_sources()["CPU_ISAS"]
    if machine == "x86_64":
        return isas
    return {"baseline": isas["baseline"]}


def kernel_units(
    flags: list[str], directory: pathlib.Path, machine: str = platform.machine()
) -> dict[str, list[Unit]]:
    """Instruction set -> the kernels for it, once for each type."""
    source = read_sources()["KERNEL_SOURCE"]
    flags = [*flags, *have(machine)]
    return {
        name: _by_type(source, f".{name}", directory, [*flags, *own, f"-DTF_DWBP_ISA={name}"])
        for name, own in cpu_isas(machine).items()
    }


def _by_type(
    source: str,
    what: str,
    directory: pathlib.Path,
    flags: list[str],
    nvcc: CudaToolkit | None = None,
) -> list[Unit]:
    stem = source.rpartition(".")[0]
    return [
        Unit(source, directory / f"{stem}{what}.{name}.o", [*flags, f"-DTF_DWBP_TYPE={name}"], nvcc)
        for name in read_sources()["TYPES"]
    ]


def have(machine: str = platform.machine()) -> list[str]:
    """What tells sources which instruction sets there are kernels for."""
    return [f"-DTF_DWBP_HAVE_{name.upper()}" for name in cpu_isas(machine)]


def plain_units(sources: list[str], flags: list[str], directory: pathlib.Path) -> list[Unit]:
    """The sources once each, where none knows of instruction sets."""
    return [Unit(source, directory / f"{source.rpartition('.')[0]}.o", flags) for source in sources]


def gpu_kernel_units(directory: pathlib.Path, cuda: CudaToolkit) -> list[Unit]:
    """The GPU kernels, once for each type, for a GPU."""
    sources = read_sources()
    flags = [*sources["GPU_FLAGS"], "-I.", *cuda.flags, PTXAS_ACCOUNT]
    return _by_type(sources["GPU_KERNEL_SOURCE"], "", directory, flags, cuda)


def emulated_kernel_units(directory: pathlib.Path, flags: list[str]) -> list[Unit]:
    """The GPU kernels, once for each type, for the emulator."""
    source = read_sources()["GPU_KERNEL_SOURCE"]
    return _by_type(source, "", directory, [*flags, *_EMULATED_FLAGS])


def library_kernels() -> dict[str, list[Unit]]:
    """Instruction set -> the kernels of the op library, once for each type."""
    return kernel_units(_LIBRARY_FLAGS, BUILD / "library")


def build_library(
    wheel: TensorFlowWheel, directory: pathlib.Path, cuda: CudaToolkit | None
) -> None:
    """Writes the libraries and the description of their build into the directory.

    They are the op library and, where it can be built, the XLA library.
    """
    xla_headers.setting()  # refused before the minutes that all else takes
    compiled_by = compiler_version()
    isas = list(cpu_isas())
    print(
        f"tf_dwbp: building against {wheel.distribution} {wheel.version} in {wheel.directory} "
        f"with {compiled_by} for {', '.join(isas)}",
        f"tf_dwbp: with GPU kernels by {cuda.describe()}"
        if cuda
        else f"tf_dwbp: without GPU kernels: {why_not()}",
        sep="\n",
        flush=True,
    )
    objects = compile_all(*library_units(wheel, cuda))
    runtime = _cuda_runtime(cuda) if cuda else []
    name = f"-Wl,-soname,{LIBRARY_NAME}"  # by which the XLA library finds it among what is loaded
    libraries = _linked(wheel.framework, wheel.compiler)
    link(["-shared", *objects, *libraries, name, *runtime], directory / LIBRARY_NAME)
    why_no_xla = _build_xla_library(wheel, directory, cuda)
    info = {
        "tensorflow_version": wheel.version,
        "compiler": compiled_by,
        "cpu_isas": isas,
        "cuda_version": cuda.version if cuda else None,
        "cuda_architectures": cuda.archs if cuda else None,
        "xla": why_no_xla is None,
        "why_no_xla": why_no_xla,
    }
    (directory / BUILD_INFO_NAME).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def library_units(
    wheel: TensorFlowWheel, cuda: CudaToolkit | None
) -> list[tuple[list[Unit], Headers]]:
    """What the op library is made of, the slowest first: these serve every TensorFlow."""
    sources = read_sources()
    gpu_kernels = gpu_kernel_units(BUILD / "library", cuda) if cuda else []
    core = [*sources["CORE_SOURCES"], *(sources["GPU_CORE_SOURCES"] if cuda else [])]
    every = [*sources["LIBRARY_SOURCES"], *(sources["GPU_LIBRARY_SOURCES"] if cuda else [])]
    rest = [source for source in every if source not in core]
    core_units = plain_units(core, [*_LIBRARY_FLAGS, *have()], BUILD / "library")
    return [
        (gpu_kernels, Headers()),
        (
            [*itertools.chain(*library_kernels().values()), *core_units],
            eigen_headers(wheel, [_PREFIX_MAP]),
        ),
        (
            plain_units(rest, [*_LIBRARY_FLAGS, *have()], _directory_of(wheel)),
            # What headers of TensorFlow's eager runtime include from there.
            _wheel_headers(wheel, [wheel.include / "external/farmhash_archive/src"]),
        ),
    ]


def xla_units(wheel: TensorFlowWheel, cuda: CudaToolkit | None) -> tuple[list[Unit], Headers]:
    """What the XLA library is made of. Raises xla_headers.NotFound where there can be none."""
    folders = xla_headers.find(wheel.include)
    sources = read_sources()
    names = [*sources["XLA_SOURCES"], *(sources["GPU_XLA_SOURCES"] if cuda else [])]
    units = plain_units(names, _LIBRARY_FLAGS, _directory_of(wheel))
    return units, _wheel_headers(wheel, folders)


def _directory_of(wheel):
    """Where the objects lie that are made for one TensorFlow."""
    return BUILD / f"tensorflow-{wheel.version}"


def _wheel_headers(wheel, folders=()):
    """Those of TensorFlow."""
    include = [flag for path in (wheel.include, *folders) for flag in ("-isystem", str(path))]
    # TensorFlow's error macros hold __FILE__: keep the folder of the day out of the library.
    maps = [_PREFIX_MAP, f"-ffile-prefix-map={wheel.include}/="]
    return Headers([*include, *maps], f"tensorflow {wheel.version}")


def eigen_headers(wheel: TensorFlowWheel | None = None, flags: Sequence[str] = ()) -> Headers:
    """Eigen's, which come with TensorFlow's, for the core, which knows nothing of TensorFlow.

    They lie in a folder that holds Eigen alone, so that the core cannot include any others.

    Args:
      wheel: the TensorFlow; the installed one unless given.
      flags: others, that change nothing.
    """
    try:
        wheel = wheel or tensorflow_wheel.find()
    except tensorflow_wheel.NotFound as error:
        raise BuildError(str(error)) from None
    headers = wheel.include / "Eigen"
    digest = hashlib.sha256()
    for path in sorted(headers.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(headers)}\n".encode() + path.read_bytes())
    # A copy: an isolated build's TensorFlow is gone when it ends, and another build may still read.
    folder = BUILD / "eigen" / digest.hexdigest()[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as new:
            shutil.copytree(headers, pathlib.Path(new, "new", "Eigen"))
            with contextlib.suppress(OSError):  # somebody else has made it meanwhile
                pathlib.Path(new, "new").rename(folder)
    return Headers(["-isystem", str(folder), *flags], f"Eigen {digest.hexdigest()}", "<Eigen/")


def _linked(*libraries):
    """The linker's flags for libraries that will have been loaded: no run path."""
    folders = [f"-L{library.parent}" for library in libraries]
    return [*folders, *(f"-l:{library.name}" for library in libraries), "-Wl,--no-undefined"]


def _build_xla_library(wheel, directory, cuda) -> str | None:
    """Writes the XLA library beside the op library, or returns why there is none.

    It is made against headers that TensorFlow promises nothing about, and nothing else needs it.
    """
    output = directory / XLA_LIBRARY_NAME
    try:
        objects = compile_all(xla_units(wheel, cuda))
        libraries = _linked(directory / LIBRARY_NAME, wheel.framework, wheel.compiler)
        link(["-shared", *objects, *libraries], output)
    except (BuildError, xla_headers.NotFound) as error:
        output.unlink(missing_ok=True)  # one of an earlier build would not fit
        why = error.brief if isinstance(error, BuildError) else str(error)
        if xla_headers.setting() == "1":
            raise BuildError(f"TF_DWBP_XLA is 1, but there can be no XLA kernels: {why}") from None
        print(f"tf_dwbp: without XLA kernels: {why}", flush=True)
        return why
    print("tf_dwbp: with XLA kernels", flush=True)
    return None


def _cuda_runtime(cuda: CudaToolkit) -> list[str]:
    # Static, and hidden: it must not meet TensorFlow's own, and needs no driver to be loaded.
    return [cuda.runtime, "-Wl,--exclude-libs,ALL", "-ldl", "-lrt"]


def emulated_harness_units(directory: pathlib.Path, flags: list[str]) -> list[Unit]:
    """What tests/gpu/harness.py calls, for the emulator."""
    return [
        Unit(source, directory / f"{source.removesuffix('.cu')}.o", [*flags, *_EMULATED_FLAGS])
        for source in read_sources()["GPU_HARNESS_SOURCES"]
    ]


def build_gpu_harness(cuda: CudaToolkit | None) -> pathlib.Path:
    """Builds the library of GPU kernels that tests/gpu/harness.py loads.

    With no CUDA that is one in which the kernels are emulated.
    """
    sources = read_sources()
    directory = BUILD / ("gpu_harness" if cuda else "gpu_harness_emulated")
    host = [s for s in sources["CORE_SOURCES"] if s.startswith("cc/conv/")]
    host += sources["GPU_CORE_SOURCES"]
    flags = [*BASE_FLAGS, "-O2"]
    if cuda:
        kernels = gpu_kernel_units(BUILD / "library", cuda)  # the very objects of the op library
        entries = [
            Unit(
                source,
                directory / f"{source.removesuffix('.cu')}.o",
                [*sources["GPU_FLAGS"], "-I.", *cuda.flags],
                cuda,
            )
            for source in sources["GPU_HARNESS_SOURCES"]
        ]
    else:
        kernels = emulated_kernel_units(directory, flags)
        host += sources["EMULATOR_SOURCES"]
        entries = emulated_harness_units(directory, flags)
    plain = plain_units(host, flags, directory)
    objects = compile_all(([*kernels, *entries, *plain], Headers()))
    library = directory / "gpu_harness.so"
    link(["-shared", *objects, *(_cuda_runtime(cuda) if cuda else [])], library)
    return library
