"""Finds nvcc, or says why the GPU kernels are left out; which architectures they are built for.

The environment decides:
  TF_DWBP_CUDA        0: no GPU kernels; 1: an error where there is no nvcc; unset: as it comes.
  TF_DWBP_CUDA_ARCHS  architectures instead of DEFAULT_ARCHS: "90", or "80,90".
  CUDA_HOME           a toolkit that goes before others, apart from that of an nvcc on PATH.

Run as a program it prints what it found as JSON, for Bazel; it must not import its neighbours.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

OLDEST = 75  # kernels rely on nothing newer, and nvcc 13 knows nothing older

# One for each generation: what is compiled for 8.0 runs on 8.6 and 8.9 as well. docs/installing.md
# names them.
DEFAULT_ARCHS = (75, 80, 90, 100, 120)

# What __grid_constant__, if constexpr and cudaLaunchKernelEx need.
OLDEST_NVCC = (11, 8)

_PIP_PACKAGES = (
    "nvidia-cuda-nvcc, nvidia-cuda-crt, nvidia-nvvm, nvidia-cuda-runtime, nvidia-cuda-cccl"
)


class NotFound(Exception):
    """GPU kernels were demanded, but cannot be built; the message is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class CudaToolkit:
    nvcc: str
    version: str  # of nvcc, for example "13.0"
    runtime: str  # the static CUDA runtime library
    archs: list[int]  # 90 stands for sm_90
    flags: list[str]

    def describe(self) -> str:
        archs = ", ".join(f"sm_{arch}" for arch in self.archs)
        return f"CUDA {self.version} ({self.nvcc}) for {archs} and newer ones"


def find() -> CudaToolkit | None:
    """The toolkit to build with, or None without GPU kernels."""
    wanted = os.environ.get("TF_DWBP_CUDA", "")
    if wanted not in ("", "0", "1"):
        raise NotFound(f"TF_DWBP_CUDA must be 0 or 1, but is {wanted!r}.")
    if wanted == "0":
        return None
    problems: list[str] = []
    for nvcc in _candidates():
        found = _toolkit(nvcc)
        if isinstance(found, CudaToolkit):
            return found
        problems.append(found)
    if wanted == "1":
        detail = "; ".join(problems) or (
            "there is none on PATH, in CUDA_HOME, in /usr/local/cuda or among pip's packages "
            f"({_PIP_PACKAGES})"
        )
        raise NotFound(f"TF_DWBP_CUDA is 1, but no nvcc can build the GPU kernels: {detail}.")
    return None


def why_not() -> str:
    """Why find() found nothing, in a few words."""
    if os.environ.get("TF_DWBP_CUDA") == "0":
        return "TF_DWBP_CUDA is 0"
    return "no usable nvcc was found"


def _candidates():
    """Paths of nvcc that exist, each once."""
    places = [shutil.which("nvcc")]
    if home := os.environ.get("CUDA_HOME"):
        places.append(pathlib.Path(home) / "bin" / "nvcc")
    places.append("/usr/local/cuda/bin/nvcc")
    # pip's packages share a namespace, nvidia: nvidia/cu13/bin/nvcc, nvidia/cuda_nvcc/bin/nvcc.
    spec = importlib.util.find_spec("nvidia")
    for location in (spec.submodule_search_locations or []) if spec else []:
        places += sorted(pathlib.Path(location).glob("*/bin/nvcc"), reverse=True)
    seen = set()
    for place in places:
        if place and os.access(place, os.X_OK) and (path := str(place)) not in seen:
            seen.add(path)
            yield path


def _toolkit(nvcc: str) -> "CudaToolkit | str":
    """What this nvcc makes, or why it is of no use."""
    try:
        version = _output(nvcc, "--version")
        listed = _output(nvcc, "--list-gpu-arch")
        # Its own account of where things are: nvcc may be a script that calls another.
        dry_run = _output(nvcc, "--dryrun", "-c", "-x", "cu", os.devnull, "-o", os.devnull)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{nvcc} does not run ({error})"
    release = re.search(r"release (\d+)\.(\d+)", version)
    if not release or tuple(map(int, release.groups())) < OLDEST_NVCC:
        return f"{nvcc} is older than {'.'.join(map(str, OLDEST_NVCC))}"
    top = re.search(r"^#\$ TOP=(.*)$", dry_run, re.MULTILINE)
    if not top:
        return f"{nvcc} does not tell where its toolkit is"
    root = pathlib.Path(top[1].strip()).resolve()
    runtimes = [
        path
        for pattern in ("lib64", "lib", "targets/*/lib")
        for path in sorted(root.glob(f"{pattern}/libcudart_static.a"))
    ]
    if not runtimes:
        return f"{nvcc} lacks libcudart_static.a"
    known = sorted(int(arch) for arch in re.findall(r"compute_(\d+)\s", listed + "\n"))
    archs = _archs(known)
    flags = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    # For GPUs to come, the driver compiles this.
    flags.append(f"-gencode=arch=compute_{archs[-1]},code=compute_{archs[-1]}")
    return CudaToolkit(nvcc, ".".join(release.groups()), str(runtimes[0]), archs, flags)


def _archs(known: list[int]) -> list[int]:
    """The architectures to build for, of those that nvcc knows."""
    asked = os.environ.get("TF_DWBP_CUDA_ARCHS")
    if asked:
        try:
            archs = sorted({int(arch) for arch in asked.split(",")})
        except ValueError:
            archs = []
        usable = [arch for arch in known if arch >= OLDEST]
        if not archs or not set(archs) <= set(usable):
            allowed = ", ".join(map(str, usable))
            raise NotFound(f"TF_DWBP_CUDA_ARCHS is {asked!r}, but must be some of {allowed}.")
        return archs
    return [arch for arch in DEFAULT_ARCHS if arch in known]


def _output(*command: str) -> str:
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return done.stdout


if __name__ == "__main__":
    try:
        toolkit = find()
    except NotFound as error:
        sys.exit(str(error))
    print(json.dumps(toolkit and dataclasses.asdict(toolkit)))
