"""Mutation testing of cc/conv and of the CPU planners: which small faults would no test notice?

Mutants, each one line changed by a rule of universalmutator's, are drawn at random, evenly over
the files. Of each, the objects that depend on the file are compiled, the C++ tests are linked and
run (core_test --quick) until one fails. A mutant is

  killed          if a test fails, the program dies, or hangs;
  only the plan   if none does, but plans of fixed problems (core_test --plans) are others: it
                  costs time or memory;
  by inspection   if none does and equivalent_mutants.json says why it changes nothing;
  survived        if none does, and nothing is known of it.

The share is that of the killed among those and the survivors. Mutants that do not compile, and
those whose object code is the original's, do not count. Bodies of describe() and explain(), which
make nothing but texts, are left out: any change of theirs would be one of the plans.

Results are kept in a file as they come, and a run that was interrupted goes on from there: the
same seed draws the same mutants. Needs universalmutator (.ci/mutation-requirements.txt).
"""

import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import io
import json
import os
import pathlib
import random
import re
import shlex
import sys
import threading

from build_support import native
from build_support.mutation_bench import DIRECTORY, Bench, Mutant, Original

# Besides all of cc/conv: what cc/cpu does, but for what is compiled for each instruction set.
_PLANNERS = [
    "cc/cpu/*.cc",
    "cc/cpu/*_worker.h",
    "cc/cpu/lines_*.h",
    "cc/cpu/workspace.h",
    "cc/cpu/runtime/*.cc",
]
_RULES = ["universal.rules", "c_like.rules", "cpp.rules"]
# What is no code, or is the compiler's business alone.
_NO_CODE = re.compile(r"^\s*(//|#|namespace\b|using\b|}\s*(//.*)?$|template\b.*;|$)|static_assert")
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS = {"break", "continue", "true", "false", "nullptr", "return", "abs"}
# The beginning of a function that makes nothing but a text.
_TEXT = re.compile(r"^( *)std::string (?:\w+(?:<\w+>)?::)?(?:describe|explain)\(.*\{(.*\})?$")
_EQUIVALENT = pathlib.Path(__file__).with_name("equivalent_mutants.json")
# What counts: mutants that compile to other code.
_COUNTED = ("killed", "survived", "plan", "inspected")


def _files() -> list[str]:
    patterns = ["cc/conv/*.[hc]*", *_PLANNERS]
    found = [path for pattern in patterns for path in sorted(native.ROOT.glob(pattern))]
    return [path.relative_to(native.ROOT).as_posix() for path in found]


def _texts(source: list[str]) -> set[int]:
    """The lines, counted from 1, of functions that make nothing but a text."""
    lines, end = set(), None
    for number, line in enumerate(source, 1):
        begins = _TEXT.match(line)
        if end is None and begins:
            lines.add(number)
            end = None if begins[2] else begins[1] + "}"
        elif end is not None:
            lines.add(number)
            end = None if line.rstrip() == end else end
    return lines


def _mutants(file: str) -> list[Mutant]:
    from universalmutator import mutator

    text = (native.ROOT / file).read_text(encoding="utf-8")
    source = text.splitlines(keepends=True)
    texts = _texts(source)
    known = set(_NAME.findall(text)) | _WORDS
    with contextlib.redirect_stdout(io.StringIO()):
        found = mutator.mutants_regexp(source, _RULES, ignorePatterns=[], ignoreStringOnly=True)
    return [
        Mutant(file, line, text, rule[0].split(" ==> ")[0] + " ==> " + rule[0].split(" ==> ")[-1])
        for line, text, rule, _ in found
        # A rule for numbers takes int64_t for one.
        if line not in texts
        and not _NO_CODE.search(source[line - 1])
        and known.issuperset(_NAME.findall(text))
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


def _digest(tests: bool) -> str:
    """Of the code, or of its tests: results are for these alone."""
    digest = hashlib.sha256()
    for path in sorted((native.ROOT / "cc").rglob("*.*")):
        if ("tests" in path.parts) == tests:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _read(results: pathlib.Path, run: dict, keep_killed: bool) -> dict[str, dict]:
    """What is known of mutants by an earlier run of this one's seed, code and tests."""
    # What no test decides, and what other tests have.
    kept = {"invalid", "equivalent"} | ({"killed"} if keep_killed else set())
    known = {}
    if results.exists():
        for line in results.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            if any(result.get(name) != run[name] for name in ("seed", "code")):
                continue
            if result.get("tests") == run["tests"] or result["status"] in kept:
                known[result["key"]] = result
    return known


def _inspected() -> dict[tuple[str, str], str]:
    """File and line of a mutant that changes nothing -> the reason."""
    listed = json.loads(_EQUIVALENT.read_text(encoding="utf-8"))
    return {
        (file, line): reason for file, lines in listed.items() for line, reason in lines.items()
    }


def _inspect(result: dict, inspected: dict[tuple[str, str], str]) -> dict:
    reason = inspected.get((result["file"], result.get("text", "")))
    if reason is None or result["status"] not in ("survived", "plan"):
        return result
    return result | {"status": "inspected", "by": reason}


def _counts(results: list[dict], count: int) -> list[dict]:
    """The results, in order, up to the `count`-th that counts."""
    taken, counted = [], 0
    for result in results:
        if counted == count:
            break
        taken.append(result)
        counted += result["status"] in _COUNTED
    return taken


def _try_all(order: list[Mutant], options, results: pathlib.Path) -> list[dict]:
    run = {"seed": options.seed, "code": _digest(tests=False), "tests": _digest(tests=True)}
    known = _read(results, run, options.keep_killed)
    original = Original()
    benches = [Bench(original, number) for number in range(options.jobs)]
    benches[0].check_original()
    lock = threading.Lock()
    free = collections.deque(benches)
    decided = sum(known.get(m.key, {}).get("status") in _COUNTED for m in order)

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
            decided += result["status"] in _COUNTED
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
    parser.add_argument("--results", type=pathlib.Path, default=DIRECTORY / "results.jsonl")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the counts and survivors")
    parser.add_argument(
        "--keep-killed",
        action="store_true",
        help="do not try again what earlier tests killed: tests have only been added since",
    )
    options = parser.parse_args()
    try:
        order = _draw(options.seed)
    except ImportError:
        print(
            "needs universalmutator: pip install -r .ci/mutation-requirements.txt", file=sys.stderr
        )
        sys.exit(2)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    inspected = _inspected()
    taken = _counts(_try_all(order, options, options.results), options.count)
    taken = [_inspect(result, inspected) for result in taken]
    counts = collections.Counter(result["status"] for result in taken)
    for status, what in (
        ("inspected", "equivalent by inspection"),
        ("plan", "changes only the plan"),
        ("survived", "survived"),
    ):
        for result in taken:
            if result["status"] == status:
                because = f": {result['by']}" if status == "inspected" else ""
                print(f"\n{what}{because}\n{result['diff']}", end="")
    decided = counts["killed"] + counts["survived"]
    share = 100 * counts["killed"] / decided if decided else 0
    print(
        f"\n{sum(counts[status] for status in _COUNTED)} mutants of {len(_files())} files: "
        f"{counts['killed']} killed, {counts['survived']} survived ({share:.1f} % of these two "
        f"killed), {counts['plan']} change only the plan (speed or memory), "
        f"{counts['inspected']} equivalent by inspection; besides {counts['equivalent']} of the "
        f"same object code and {counts['invalid']} that do not compile"
    )
    if options.json:
        summary = {
            "command": shlex.join(sys.argv),
            "seed": options.seed,
            **{name: counts[name] for name in (*_COUNTED, "equivalent", "invalid")},
            "survivors": [result for result in taken if result["status"] == "survived"],
            "plans": [result for result in taken if result["status"] == "plan"],
        }
        options.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except native.BuildError as error:
        sys.exit(str(error))
