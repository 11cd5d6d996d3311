"""Runs the compiler, anew only where something has changed, and says what it is doing."""

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import threading
import time

from build_support.cuda_toolkit import CudaToolkit

ROOT = pathlib.Path(__file__).resolve().parent.parent

# nvcc is to tell what each kernel takes of a multiprocessor.
PTXAS_ACCOUNT = "-Xptxas=-v"

_SECONDS = 20  # between two lines that say what is being compiled


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
    def log(self) -> pathlib.Path | None:
        """Where nvcc's account of each kernel's registers goes, if it gives one."""
        told = self.nvcc and PTXAS_ACCOUNT in self.flags
        return self.object.with_suffix(".ptxas") if told else None

    @property
    def compiler(self) -> list[str]:
        # nvcc calls the C++ compiler for the host's part.
        return [self.nvcc.nvcc, f"-ccbin={compiler()[0]}"] if self.nvcc else compiler()


@dataclasses.dataclass(frozen=True)
class Headers:
    """Headers of others.

    flags: where they lie, which may differ from build to build and changes nothing.
    stamp: which they are. Objects are made anew when it changes,
    marker: but only those that include a header of ours with this text; "" is in all of them.
    """

    flags: list[str] = dataclasses.field(default_factory=list)
    stamp: str = ""
    marker: str = ""


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


def run(command: list[str], what: str, log: pathlib.Path | None = None) -> None:
    """Runs it; the command and what it prints go to the log, if there is one and all is well."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if log and done.returncode == 0:
        log.write_text(f"{shlex.join(command)}\n{done.stdout}", encoding="utf-8")
    elif done.stdout:
        print(done.stdout, end="", flush=True)
    if done.returncode != 0:
        found = re.search(r"^.*(error: |undefined reference).*$", done.stdout, re.MULTILINE)
        brief = found[0].strip() if found else f"{what}: exit status {done.returncode}"
        raise BuildError(f"{what}: failed: {shlex.join(command)}", brief)


def _stamp(unit: Unit, headers: Headers, compiled_by: str) -> str | None:
    """A digest of all that the object depends on, or None before it was ever compiled.

    By contents, not by time: files that come out of an archive may be older than the object.
    """
    dependencies = unit.object.with_suffix(".d")
    made = [unit.object, dependencies, *([unit.log] if unit.log else [])]
    if not all(path.exists() for path in made):
        return None
    # nvcc sees neither the headers of others nor CXXFLAGS.
    by = [unit.nvcc.nvcc, unit.nvcc.version] if unit.nvcc else [os.environ.get("CXXFLAGS", "")]
    digest = hashlib.sha256("\n".join([compiled_by, *by, *unit.flags]).encode())
    marked = False
    for name in (
        dependencies.read_text(encoding="utf-8").replace("\\\n", " ").partition(":")[2].split()
    ):
        path = ROOT / name
        content = path.read_bytes() if path.exists() else b""
        marked = marked or headers.marker.encode() in content
        digest.update(content)
    if marked and not unit.nvcc:
        digest.update(headers.stamp.encode())
    return digest.hexdigest()


def is_current(unit: Unit, headers: Headers, compiled_by: str) -> bool:
    """Whether the object is what compiling it now would make."""
    stamped = unit.object.with_suffix(".stamp")
    now = _stamp(unit, headers, compiled_by)
    return stamped.exists() and stamped.read_text(encoding="utf-8") == now


def _compile(unit: Unit, headers: Headers, compiled_by: str) -> bool:
    """Returns whether there was anything to do."""
    if is_current(unit, headers, compiled_by):
        return False
    stamped = unit.object.with_suffix(".stamp")
    unit.object.parent.mkdir(parents=True, exist_ok=True)
    stamped.unlink(missing_ok=True)
    command = [*unit.compiler, *unit.flags]
    if not unit.nvcc:
        command += [*headers.flags, *shlex.split(os.environ.get("CXXFLAGS", ""))]
    dependencies = ["-MMD", "-MF", str(unit.object.with_suffix(".d"))]
    command += [*dependencies, "-c", unit.source, "-o", str(unit.object)]
    run(command, unit.source, unit.log)
    stamped.write_text(_stamp(unit, headers, compiled_by), encoding="utf-8")
    return True


class _Watched:
    """What the compilers are at, for those who wait."""

    def __init__(self, total: int):
        self._total, self._lock, self._running = total, threading.Lock(), {}
        self._since = time.monotonic()

    def compile(self, unit: Unit, headers: Headers, compiled_by: str) -> bool:
        with self._lock:
            self._running[unit.object] = unit
        try:
            return _compile(unit, headers, compiled_by)
        finally:
            with self._lock:
                del self._running[unit.object]

    def tell(self, left: int) -> None:
        with self._lock:
            names = ", ".join(path.stem for path in self._running)
        seconds = time.monotonic() - self._since
        print(
            f"tf_dwbp: {seconds:.0f} s: {self._total - left} of {self._total} objects, now {names}",
            flush=True,
        )


def compile_all(*groups: tuple[list[Unit], Headers]) -> list[str]:
    """Compiles what has changed, on all cores, and returns the objects' paths.

    Args:
      *groups: what to compile, with the headers of others that it may include.
    """
    compiled_by = compiler_version()  # nvcc's host part, too
    jobs = [(unit, headers) for units, headers in groups for unit in units]
    watched = _Watched(len(jobs))
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        left = made = [pool.submit(watched.compile, *job, compiled_by) for job in jobs]
        try:
            while left:
                done, left = concurrent.futures.wait(
                    left, _SECONDS, concurrent.futures.FIRST_EXCEPTION
                )
                for job in done:
                    job.result()
                if left:
                    watched.tell(len(left))
        except BuildError:
            pool.shutdown(cancel_futures=True)
            raise
    compiled = sum(job.result() for job in made)
    print(f"tf_dwbp: compiled {compiled} of {len(jobs)} objects", flush=True)
    return [str(unit.object) for unit, _ in jobs]


def link(command: list[str], output: pathlib.Path) -> None:
    """Links into a new file, so that a process that runs the old one is not disturbed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    new = output.with_suffix(".new")
    flags = shlex.split(os.environ.get("LDFLAGS", ""))
    # By contents: the same objects are the same library.
    flags.append("-Wl,--build-id=sha1")
    run([*compiler(), *command, *flags, "-pthread", "-o", str(new)], f"linking {output.name}")
    new.replace(output)
