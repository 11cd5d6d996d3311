"""Mutation testing of cc/conv and of the CPU planners: which small faults would no test notice?

Mutants, each one line changed by a rule of universalmutator's, are drawn at random, evenly over
the files. Of each, the objects that depend on the file are compiled, the C++ tests are linked and
run (core_test --quick) until one fails. Those that do not compile, and those whose object code is
the original's (equivalent), do not count.

Results are kept in a file as they come, and a run that was interrupted goes on from there: the
same seed draws the same mutants. Needs universalmutator (.ci/mutation-requirements.txt).
"""

import argparse
import collections
import concurrent.futures
import contextlib
import difflib
import hashlib
import io
import json
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import threading
import time

from build_support import native, test_programs

# Besides all of cc/conv: all of cc/cpu that is not compiled for each instruction set.
_PLANNERS = ["cc/cpu/*.cc", "cc/cpu/runtime/*.cc"]
_RULES = ["universal.rules", "c_like.rules", "cpp.rules"]
# What is no code, or is the compiler's business alone.
_NO_CODE = re.compile(r"^\s*(//|#|namespace\b|using\b|}\s*(//.*)?$|template\b.*;|$)|static_assert")
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS = {"break", "continue", "true", "false", "nullptr", "return", "abs"}
_DIRECTORY = native.BUILD / "mutation"
# A mutant may wait for ever, or count to 2^63.
_CPU_SECONDS = 30
_SECONDS = 150
_MEMORY_BYTES = 16 << 30


def _files() -> list[str]:
    patterns = ["cc/conv/*.[hc]*", *_PLANNERS]
    found = [path for pattern in patterns for path in sorted(native.ROOT.glob(pattern))]
    return [path.relative_to(native.ROOT).as_posix() for path in found]


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


def _mutants(file: str) -> list[Mutant]:
    from universalmutator import mutator

    text = (native.ROOT / file).read_text(encoding="utf-8")
    source = text.splitlines(keepends=True)
    known = set(_NAME.findall(text)) | _WORDS
    with contextlib.redirect_stdout(io.StringIO()):
        found = mutator.mutants_regexp(source, _RULES, ignorePatterns=[], ignoreStringOnly=True)
    return [
        Mutant(file, line, text, rule[0].split(" ==> ")[0] + " ==> " + rule[0].split(" ==> ")[-1])
        for line, text, rule, _ in found
        # A rule for numbers takes int64_t for one.
        if not _NO_CODE.search(source[line - 1]) and known.issuperset(_NAME.findall(text))
    ]


def _draw(seed: int) -> list[Mutant]:
    """All mutants, in the order in which they are tried: one of each file in turn."""
    chosen = random.Random(seed)
    columns = []
    for file in _files():
        column = _mutants(file)
        chosen.shuffle(column)
        columns.append(column)
    longest = max(len(column) for column in columns)
    return [column[i] for i in range(longest) for column in columns if i < len(column)]


class Original:
    """The program without a fault, and what each of its objects is made of."""

    def __init__(self):
        # Without debug information, which knows lines, objects of the same code are the same.
        flags = [flag for flag in test_programs.test_flags("plain") if flag != "-g"]
        sources = native.read_sources()
        self.directory = _DIRECTORY / "original"
        plain = test_programs.core_test_directory("plain")
        every = native.units(sources["CORE_SOURCES"], flags, self.directory)
        self.units = [unit for unit in every if unit.source != sources["KERNEL_SOURCE"]]
        self.eigen, stamp = native.eigen_flags()
        native.compile_all(self.units, self.eigen, stamp)
        test_programs.build_core_test()
        others = native.units(sources["TEST_SOURCES"], flags, plain)
        self.others = [str(unit.object) for unit in others]

    def units_of(self, file: str) -> list[native.Unit]:
        def depends(unit):
            text = unit.object.with_suffix(".d").read_text(encoding="utf-8").replace("\\\n", " ")
            return file in text.partition(":")[2].split()

        return [unit for unit in self.units if depends(unit)]


class Bench:
    """A folder in which a job compiles and runs one mutant after the other."""

    def __init__(self, original: Original, number: int):
        self.original = original
        self.directory = _DIRECTORY / f"job_{number}"
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(native.ROOT / "cc", self.directory / "cc")

    def _run(self, command, seconds, **environment):
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        return subprocess.run(
            command,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            preexec_fn=limit,
            env=os.environ | environment,
        )

    def _objects(self, file: str) -> list[tuple[native.Unit, pathlib.Path]] | None:
        """The changed file's objects, or None if it does not compile."""
        made = []
        for unit in self.original.units_of(file):
            output = self.directory / unit.object.relative_to(self.original.directory)
            output.parent.mkdir(parents=True, exist_ok=True)
            flags = [*unit.flags, *self.original.eigen, "-w"]
            command = [*unit.compiler, *flags, "-c", unit.source, "-o", str(output)]
            if self._run(command, _SECONDS).returncode != 0:
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
            "rule": mutant.rule,
            "status": status,
            "by": by,
            "seconds": round(time.monotonic() - began, 1),
            "diff": mutant.diff(source),
        }

    def _verdict(self, file: str) -> tuple[str, str]:
        made = self._objects(file)
        if made is None:
            return "invalid", ""
        if all(unit.object.read_bytes() == path.read_bytes() for unit, path in made):
            return "equivalent", ""
        mutated = {unit.object: path for unit, path in made}
        # The changed objects first: of a function that several have, the linker takes the first.
        unchanged = [str(u.object) for u in self.original.units if u.object not in mutated]
        if not self._link([*map(str, mutated.values()), *unchanged]):
            return "invalid", ""
        try:
            reason = self._why_it_fails()
        except subprocess.TimeoutExpired:
            reason = "hangs"
        return ("killed", reason) if reason else ("survived", "")

    def _link(self, objects: list[str]) -> bool:
        command = [*native.compiler(), *objects, *self.original.others]
        return self._run([*command, "-pthread", "-o", "core_test"], _SECONDS).returncode == 0

    def _why_it_fails(self) -> str:
        # Which instruction set is chosen, for each wish; then all tests, for the best.
        wishes = [{"TF_DWBP_CPU_ISA": isa} for isa in native.cpu_isas()]
        for wish in wishes:
            done = self._run(["./core_test", "the_instruction_set"], _CPU_SECONDS, **wish)
            if done.returncode != 0:
                return self._reason(done)
        done = self._run(["./core_test", "--quick"], _CPU_SECONDS)
        return self._reason(done) if done.returncode != 0 else ""

    def check_original(self) -> None:
        began = time.monotonic()
        linked = self._link([str(unit.object) for unit in self.original.units])
        reason = self._why_it_fails() if linked else "does not link"
        if reason:
            sys.exit(f"the tests fail without a mutation: {reason}")
        print(f"Without a mutation the tests pass in {time.monotonic() - began:.1f} s", flush=True)

    @staticmethod
    def _reason(done) -> str:
        failed = re.findall(r"^FAILED (\w+) \(|^FAILED: died in: (\w+)", done.stdout, re.MULTILINE)
        name = "".join(failed[0]) if failed else ""
        return name or f"exit status {done.returncode}"


def _digest() -> str:
    """Of the code and its tests: results are for these alone."""
    digest = hashlib.sha256()
    for path in sorted((native.ROOT / "cc").rglob("*.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _read(results: pathlib.Path, run: dict) -> dict[str, dict]:
    known = {}
    if results.exists():
        for line in results.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            if run.items() <= result.items():
                known[result["key"]] = result
    return known


def _counts(results: list[dict], count: int) -> list[dict]:
    """The results, in order, up to the `count`-th that counts."""
    taken, counted = [], 0
    for result in results:
        if counted == count:
            break
        taken.append(result)
        counted += result["status"] in ("killed", "survived")
    return taken


def _try_all(order: list[Mutant], options, results: pathlib.Path) -> list[dict]:
    run = {"seed": options.seed, "code": _digest()}
    known = _read(results, run)
    original = Original()
    benches = [Bench(original, number) for number in range(options.jobs)]
    benches[0].check_original()
    lock = threading.Lock()
    free = collections.deque(benches)
    decided = sum(known.get(m.key, {}).get("status") in ("killed", "survived") for m in order)

    def job(mutant: Mutant) -> None:
        nonlocal decided
        with lock:
            if decided >= options.count or mutant.key in known:
                return
            bench = free.popleft()
        try:
            result = bench.try_out(mutant) | run
        finally:
            free.append(bench)
        with lock:
            known[mutant.key] = result
            decided += result["status"] in ("killed", "survived")
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            text = f"{result['status']} {result['by']}".strip()
            print(f"{decided}: {mutant.key}: {text}, {result['seconds']} s", flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for _ in pool.map(job, order):
            pass
    return [known[mutant.key] for mutant in order if mutant.key in known]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=320, help="mutants that count (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--results", type=pathlib.Path, default=_DIRECTORY / "results.jsonl")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the counts and survivors")
    options = parser.parse_args()
    try:
        order = _draw(options.seed)
    except ImportError:
        print(
            "needs universalmutator: pip install -r .ci/mutation-requirements.txt", file=sys.stderr
        )
        sys.exit(2)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    taken = _counts(_try_all(order, options, options.results), options.count)
    counts = collections.Counter(result["status"] for result in taken)
    survivors = [result for result in taken if result["status"] == "survived"]
    for result in survivors:
        print(f"\nsurvived, by {result['rule']}:\n{result['diff']}", end="")
    counted = counts["killed"] + counts["survived"]
    share = 100 * counts["killed"] / counted if counted else 0
    print(
        f"\n{counted} mutants of {len(_files())} files: {counts['killed']} killed ({share:.1f} %), "
        f"{counts['survived']} survived; besides {counts['equivalent']} equivalent and "
        f"{counts['invalid']} that do not compile"
    )
    if options.json:
        summary = {
            "command": shlex.join(sys.argv),
            "seed": options.seed,
            **{name: counts[name] for name in ("killed", "survived", "equivalent", "invalid")},
            "survivors": survivors,
        }
        options.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except native.BuildError as error:
        sys.exit(str(error))
