"""Compiles a mutant of the C++ core, links the C++ tests with it, and says what these find."""

import difflib
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from build_support import compiling, core_test, native, test_programs

DIRECTORY = native.BUILD / "mutation"
# A mutant may count to 2^63, or wait for ever. The tests take 3 seconds of CPU time. The machine
# may be busy, so that time by the clock says little, but for programs whose threads all sleep.
_CPU_SECONDS = 30
_COMPILE_CPU_SECONDS = 120
_IDLE_SECONDS = 60
_SECONDS = 1800
_MEMORY_BYTES = 16 << 30


class Mutant:
    """One line of a file, changed."""

    def __init__(self, file: str, line: int, text: str, rule: str):
        self.file, self.line, self.text, self.rule = file, line, text, rule

    @property
    def key(self) -> str:
        return f"{self.file}:{self.line}: {self.text.strip()}"

    def apply(self, source: list[str]) -> list[str]:
        return [*source[: self.line - 1], self.text, *source[self.line :]]

    def diff(self, source: list[str]) -> str:
        changed = self.apply(source)
        return "".join(difflib.unified_diff(source, changed, self.file, self.file, n=1))


def _dependencies(unit: native.Unit) -> list[str]:
    text = unit.object.with_suffix(".d").read_text(encoding="utf-8").replace("\\\n", " ")
    return text.partition(":")[2].split()


class Original:
    """The program without a fault, and what each of its objects is made of."""

    def __init__(self):
        # Without debug information, which knows lines, objects of the same code are the same.
        flags = [
            flag for flag in test_programs.test_flags("plain") if flag != test_programs.DEBUG_FLAG
        ]
        sources = native.read_sources()
        self.directory = DIRECTORY / "original"
        flags += native.have()
        self.units = native.plain_units(sources["CORE_SOURCES"], flags, self.directory)
        headers = native.eigen_headers()
        self.eigen = headers.flags
        native.compile_all((self.units, headers))
        test_programs.build_core_test()
        # The kernels are with them: compiling these would take minutes.
        self.kernels = sources["KERNEL_SOURCE"]
        self.tests = test_programs.core_test_units(sources["TEST_SOURCES"])
        self.plans = ""

    def units_of(self, file: str) -> list[native.Unit]:
        return [unit for unit in self.units if file in _dependencies(unit)]

    def tests_of(self, file: str) -> list[native.Unit]:
        """Tests that have a header's code inlined, and test that: of cc/conv those of it alone."""
        found = []
        if not file.endswith(".h"):
            return found
        for unit in self.tests:
            if unit.source == self.kernels:
                continue
            needs = _dependencies(unit)
            alone = not any(name.startswith("cc/cpu/") for name in needs)
            if file in needs and (alone or file.startswith("cc/cpu/")):
                found.append(unit)
        return found


class Bench:
    """A folder in which a job compiles and runs one mutant after the other."""

    def __init__(self, original: Original, number: int):
        self.original = original
        self.directory = DIRECTORY / f"job_{number}"
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(native.ROOT / "cc", self.directory / "cc")

    def _run(self, command, seconds, *, watch=False, **environment):
        """Runs it for so many seconds of CPU time, and if watched while it does anything."""

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=limit,
                env=os.environ | environment,
            )
            try:
                code = _wait(process, watch)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            output.seek(0)
            text = output.read().decode("utf-8", errors="replace")
        return subprocess.CompletedProcess(command, code, text)

    def _objects(self, file: str) -> list[tuple[native.Unit, pathlib.Path]] | None:
        """The changed file's objects, or None if it does not compile."""
        made = []
        for unit in [*self.original.units_of(file), *self.original.tests_of(file)]:
            output = self.directory / "objects" / unit.object.relative_to(native.BUILD)
            output.parent.mkdir(parents=True, exist_ok=True)
            flags = [*unit.flags, *self.original.eigen, "-w"]
            command = [*unit.compiler, *flags, "-c", unit.source, "-o", str(output)]
            if self._run(command, _COMPILE_CPU_SECONDS).returncode != 0:
                return None
            made.append((unit, output))
        return made

    def try_out(self, mutant: Mutant) -> dict:
        path = self.directory / mutant.file
        text = path.read_text(encoding="utf-8")
        source = text.splitlines(keepends=True)
        path.write_text("".join(mutant.apply(source)), encoding="utf-8")
        began = time.monotonic()
        try:
            status, by = self._verdict(mutant.file)
        finally:
            path.write_text(text, encoding="utf-8")
        return {
            "key": mutant.key,
            "file": mutant.file,
            "text": mutant.text.strip(),
            "rule": mutant.rule,
            "status": status,
            "by": by,
            "seconds": round(time.monotonic() - began, 1),
            "diff": mutant.diff(source),
        }

    def _verdict(self, file: str) -> tuple[str, str]:
        try:
            made = self._objects(file)
            if made is None:
                return "invalid", ""
            core = [(unit, path) for unit, path in made if unit in self.original.units]
            if all(unit.object.read_bytes() == path.read_bytes() for unit, path in core):
                return "equivalent", ""
            if not self._link(made):
                return "invalid", ""
            reason = self._why_it_fails()
        except subprocess.TimeoutExpired:
            reason = "hangs"
        if reason:
            return "killed", reason
        return ("plan", "") if self._print_plans() != self.original.plans else ("survived", "")

    def _link(self, made: list[tuple[native.Unit, pathlib.Path]]) -> bool:
        # The changed objects first: of a function that several have, the linker takes the first.
        mutated = {unit.object: str(path) for unit, path in made}
        every = [*self.original.units, *self.original.tests]
        unchanged = [str(unit.object) for unit in every if unit.object not in mutated]
        command = [*compiling.compiler(), *mutated.values(), *unchanged, "-pthread"]
        return self._run([*command, "-o", "core_test"], _COMPILE_CPU_SECONDS).returncode == 0

    def _why_it_fails(self) -> str:
        # Which instruction set is chosen for each wish, and what else the environment says; then
        # all tests, for the best.
        program = ["./core_test", "the_instruction_set"]
        for target in native.cpu_isas():
            done = self._run(program, _CPU_SECONDS, watch=True, TF_DWBP_CPU_ISA=target)
            if done.returncode != 0:
                return _reason(done)
        for setting, tests in core_test.SETTINGS:
            program = ["./core_test", "--stop", *tests]
            done = self._run(program, _CPU_SECONDS, watch=True, **setting)
            if done.returncode != 0:
                return _reason(done)
        done = self._run(["./core_test", "--quick"], _CPU_SECONDS, watch=True)
        return _reason(done) if done.returncode != 0 else ""

    def _print_plans(self) -> str:
        return self._run(["./core_test", "--plans"], _CPU_SECONDS, watch=True).stdout

    def check_original(self) -> None:
        began = time.monotonic()
        reason = self._why_it_fails() if self._link([]) else "does not link"
        if reason:
            sys.exit(f"the tests fail without a mutation: {reason}")
        self.original.plans = self._print_plans()
        print(f"Without a mutation the tests pass in {time.monotonic() - began:.1f} s", flush=True)


def _wait(process: subprocess.Popen, watch: bool) -> int:
    """Its exit status; TimeoutExpired if all its threads sleep, or if it takes far too long."""
    began = awake = time.monotonic()
    while True:
        try:
            return process.wait(timeout=0.05 if time.monotonic() < began + 1 else 1)
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            if not watch or not _sleeps(process.pid):
                awake = now
            if now > began + _SECONDS or now > awake + _IDLE_SECONDS:
                raise


def _sleeps(pid: int) -> bool:
    """Whether no thread runs, or would if it got a processor."""
    try:
        threads = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        stats = [(thread / "stat").read_text(encoding="utf-8") for thread in threads]
    except OSError:
        return False
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def _reason(done: subprocess.CompletedProcess) -> str:
    failed = re.findall(r"^FAILED (\w+) \(|^FAILED: died in: (\w+)", done.stdout, re.MULTILINE)
    name = "".join(failed[0]) if failed else ""
    return name or f"exit status {done.returncode}"
