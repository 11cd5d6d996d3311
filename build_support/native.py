"""Compiles the C++ sources that cc/sources.bzl lists, anew only where something has changed."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess

from build_support import tensorflow_wheel, xla_headers
from build_support.cuda_toolkit import CudaToolkit, why_not
from build_support.tensorflow_wheel import TensorFlowWheel

ROOT = pathlib.Path(__file__).resolve().parent.parent
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

# For g++, CUDA's sources with an emulator in CUDA's place.
_EMULATED_FLAGS = ["-x", "c++", "-Wno-unknown-pragmas"]


class BuildError(Exception):
    """The build failed; the message says at what, and `brief` in one line what went wrong."""

    def __init__(self, message: str, brief: str | None = None):
        super().__init__(message)
        self.brief = brief or message


@dataclasses.dataclass(frozen=True)
class Unit:
    """One run of the compiler."""

    source: str
    object: pathlib.Path
    flags: list[str]
    nvcc: CudaToolkit | None = None  # instead of the C++ compiler

    @property
    def compiler(self) -> list[str]:
        # nvcc calls the C++ compiler for the host's part.
        return [self.nvcc.nvcc, f"-ccbin={compiler()[0]}"] if self.nvcc else compiler()


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


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "g++"))


def compiler_version() -> str:
    try:
        run = subprocess.run(
            [*compiler(), "--version"],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(
            f"tf_dwbp needs a C++17 compiler, and {shlex.join(compiler())!r} does not run "
            f"({error}): install g++, or name another in CXX."
        ) from None
    return run.stdout.splitlines()[0]


def units(
    sources: list[str],
    flags: list[str],
    directory: pathlib.Path,
    machine: str = platform.machine(),
) -> list[Unit]:
    """The sources once each, after the kernels (the slowest) once for each instruction set."""
    kernels = read_sources()["KERNEL_SOURCE"]
    isas = cpu_isas(machine)
    have = [f"-DTF_DWBP_HAVE_{name.upper()}" for name in isas]

    def unit(source, suffix, extra):
        path = directory / f"{source.rpartition('.')[0]}{suffix}.o"
        return Unit(source, path, [*flags, *have, *extra])

    return [
        unit(kernels, f".{name}", [*extra, f"-DTF_DWBP_ISA={name}"]) for name, extra in isas.items()
    ] + [unit(source, "", []) for source in sources]


def plain_units(sources: list[str], flags: list[str], directory: pathlib.Path) -> list[Unit]:
    """The sources once each, where none knows of instruction sets."""
    return [Unit(source, directory / f"{source.rpartition('.')[0]}.o", flags) for source in sources]


def gpu_kernel_units(directory: pathlib.Path, cuda: CudaToolkit) -> list[Unit]:
    """The GPU kernels, once for each type, for a GPU."""
    flags = [*read_sources()["GPU_FLAGS"], "-I.", *cuda.flags]
    return _by_type(directory, flags, cuda)


def emulated_kernel_units(directory: pathlib.Path, flags: list[str]) -> list[Unit]:
    """The GPU kernels, once for each type, for the emulator."""
    return _by_type(directory, [*flags, *_EMULATED_FLAGS], None)


def _by_type(directory, flags, nvcc):
    sources = read_sources()
    source = sources["GPU_KERNEL_SOURCE"]
    return [
        Unit(
            source,
            directory / f"{source.removesuffix('.cu')}.{name}.o",
            [*flags, f"-DTF_DWBP_GPU_TYPE={name}"],
            nvcc,
        )
        for name in sources["GPU_TYPES"]
    ]


def kernel_objects() -> dict[str, pathlib.Path]:
    """Instruction set -> the object that build_library() made of the kernels."""
    made = units([], [], BUILD / "library")
    return {name: unit.object for name, unit in zip(cpu_isas(), made, strict=True)}


def _stamp(unit: Unit, stamp: str) -> str | None:
    """A digest of all that the object depends on, or None before it was ever compiled.

    By contents, not by time: files that come out of an archive may be older than the object.
    """
    dependencies = unit.object.with_suffix(".d")
    if not (unit.object.exists() and dependencies.exists()):
        return None
    nvcc = [unit.nvcc.nvcc, unit.nvcc.version] if unit.nvcc else []
    digest = hashlib.sha256("\n".join([stamp, *nvcc, *unit.flags]).encode())
    for name in (
        dependencies.read_text(encoding="utf-8").replace("\\\n", " ").partition(":")[2].split()
    ):
        path = ROOT / name
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def _compile(unit: Unit, system_flags: list[str], stamp: str) -> bool:
    """Returns whether there was anything to do."""
    stamped = unit.object.with_suffix(".stamp")
    if stamped.exists() and stamped.read_text(encoding="utf-8") == _stamp(unit, stamp):
        return False
    unit.object.parent.mkdir(parents=True, exist_ok=True)
    stamped.unlink(missing_ok=True)
    command = [*unit.compiler, *unit.flags, *([] if unit.nvcc else system_flags)]
    dependencies = ["-MMD", "-MF", str(unit.object.with_suffix(".d"))]
    run([*command, *dependencies, "-c", unit.source, "-o", str(unit.object)], unit.source)
    stamped.write_text(_stamp(unit, stamp), encoding="utf-8")
    return True


def run(command: list[str], what: str) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.stdout:
        print(done.stdout, end="", flush=True)
    if done.returncode != 0:
        found = re.search(r"^.*(error: |undefined reference).*$", done.stdout, re.MULTILINE)
        brief = found[0].strip() if found else f"{what}: exit status {done.returncode}"
        raise BuildError(f"{what}: failed: {shlex.join(command)}", brief)


def compile_all(units: list[Unit], system_flags: list[str], stamp: str) -> list[str]:
    """Compiles what has changed, on all cores, and returns the objects' paths.

    Args:
      units: what to compile.
      system_flags: flags that may differ from build to build and change nothing, such as
        where TensorFlow's headers happen to lie.
      stamp: what the objects depend on besides their flags, sources and own headers; not those
        of nvcc, which sees neither TensorFlow nor CXXFLAGS.
    """
    by_nvcc = compiler_version()  # the host's part
    stamp = f"{by_nvcc}\n{stamp}"
    system_flags = [*system_flags, *shlex.split(os.environ.get("CXXFLAGS", ""))]
    cores = len(os.sched_getaffinity(0))
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        jobs = [
            pool.submit(_compile, unit, system_flags, by_nvcc if unit.nvcc else stamp)
            for unit in units
        ]
        try:
            compiled = sum(job.result() for job in jobs)
        except BuildError:
            pool.shutdown(cancel_futures=True)
            raise
    print(f"tf_dwbp: compiled {compiled} of {len(units)} objects", flush=True)
    return [str(unit.object) for unit in units]


def link(command: list[str], output: pathlib.Path) -> None:
    """Links into a new file, so that a process that runs the old one is not disturbed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    new = output.with_suffix(".new")
    flags = shlex.split(os.environ.get("LDFLAGS", ""))
    run([*compiler(), *command, *flags, "-pthread", "-o", str(new)], f"linking {output.name}")
    new.replace(output)


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
    sources = read_sources()
    gpu_sources = sources["GPU_LIBRARY_SOURCES"] if cuda else []
    gpu_kernels = gpu_kernel_units(BUILD / "library", cuda) if cuda else []
    objects = compile_all(
        [
            *gpu_kernels,
            *units([*sources["LIBRARY_SOURCES"], *gpu_sources], _LIBRARY_FLAGS, BUILD / "library"),
        ],
        # What headers of TensorFlow's eager runtime include from there.
        *_wheel_flags(wheel, [wheel.include / "external/farmhash_archive/src"]),
    )
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


def _wheel_flags(wheel, folders=()):
    """compile_all()'s arguments for sources that include TensorFlow's headers."""
    include = [flag for path in (wheel.include, *folders) for flag in ("-isystem", str(path))]
    # TensorFlow's error macros hold __FILE__: keep the folder of the day out of the library.
    return (
        [*include, f"-fmacro-prefix-map={wheel.include}/="],
        f"tensorflow {wheel.version}\nCXXFLAGS={os.environ.get('CXXFLAGS', '')}",
    )


def eigen_flags() -> tuple[list[str], str]:
    """compile_all()'s arguments for the core without TensorFlow.

    The core includes Eigen, which comes with TensorFlow's headers. It gets a folder that holds
    Eigen alone, so that it cannot include any others.
    """
    try:
        wheel = tensorflow_wheel.find()
    except tensorflow_wheel.NotFound as error:
        raise BuildError(str(error)) from None
    folder = BUILD / "eigen"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "Eigen"
    if not link.exists() or not link.samefile(wheel.include / "Eigen"):
        link.unlink(missing_ok=True)
        link.symlink_to(wheel.include / "Eigen")
    return ["-isystem", str(folder)], f"tensorflow {wheel.version}"


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
        folders = xla_headers.find(wheel.include)
        sources = read_sources()
        names = [*sources["XLA_SOURCES"], *(sources["GPU_XLA_SOURCES"] if cuda else [])]
        objects = compile_all(
            plain_units(names, _LIBRARY_FLAGS, BUILD / "library"), *_wheel_flags(wheel, folders)
        )
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
        entries = [
            Unit(
                source,
                directory / f"{source.removesuffix('.cu')}.o",
                [*flags, *_EMULATED_FLAGS],
            )
            for source in sources["GPU_HARNESS_SOURCES"]
        ]
    plain = plain_units(host, flags, directory)
    objects = compile_all([*kernels, *entries, *plain], [], stamp="")
    library = directory / "gpu_harness.so"
    link(["-shared", *objects, *(_cuda_runtime(cuda) if cuda else [])], library)
    return library
