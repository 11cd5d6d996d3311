"""Builds and runs the C++ tests, which need no TensorFlow, with the kernels of each isa.

--sanitize: under AddressSanitizer and UBSan; of the kernels the second watches the baseline's.
--tsan: under ThreadSanitizer, with four workers, and unless told otherwise for the best isa alone:
kernels are not watched, and what calls them is the same for all.
--coverage: prints the lines of cc/conv and cc/cpu that no test runs; exits with 1 if there are any.
--old-cpu: under qemu, as a processor of 2008: what needs a later one must not be executed there.
--gpu: the GPU kernels, on an emulated GPU, under both.
--aarch64: with a cross compiler (aarch64-linux-gnu-g++ unless CXX says otherwise), under qemu.

--random SECONDS: nothing but random calls, for so long with each isa; --seed chooses which. A
failure's last line is a command that repeats it, for the program that was built.
--isa, --only, --one-of and --first choose isas, tests and a sample of the cases of long tests.
"""

import argparse
import os
import pathlib
import subprocess
import sys

from build_support import native, test_programs

# Of the longest tests, an emulator takes one case in so many. No loop's length divides by it, so
# that all values of all loops have their turn.
_EMULATED = {"TF_DWBP_TEST_ONE_OF": "29"}
# More of them where each load and store is watched, with more threads than this machine may have.
_TSAN = {"TF_DWBP_TEST_WORKERS": "4", "TF_DWBP_TEST_ONE_OF": "13"}
_COVERAGE = {"TF_DWBP_TEST_ONE_OF": "7"}
# The best isa's calls reach the driver's lines: what others have besides are a few of the kernels'.
_COVERAGE_OF_OTHERS = {"TF_DWBP_TEST_ONE_OF": "29"}
# What is read from the environment once: settings of it, and the tests of each.
_FORCED = ["an_implementation_may_be_forced", "explained"]
SETTINGS = [
    ({"TF_DWBP_IMPL": "packed", "TF_DWBP_VERBOSE": "1"}, [*_FORCED, "results_a_little_ahead"]),
    ({"TF_DWBP_IMPL": "tapwise", "TF_DWBP_VERBOSE": "0"}, _FORCED),
    ({"TF_DWBP_IMPL": "nothing", "TF_DWBP_VERBOSE": "-"}, _FORCED),
    ({"TF_DWBP_IMPL": "", "TF_DWBP_VERBOSE": "-"}, _FORCED),
    ({"TF_DWBP_IMPL": "", "TF_DWBP_VERBOSE": ""}, _FORCED),
]


def _run(command: list, what: str, **environment: str) -> None:
    print(f"{what}:", flush=True)
    done = subprocess.run(command, cwd=native.ROOT, env=os.environ | environment)
    if done.returncode != 0:
        sys.exit(f"{what}: exit status {done.returncode}")


def _run_forced(program: pathlib.Path, **environment: str) -> None:
    for setting, tests in SETTINGS:
        what = "With " + " ".join(f"{name}={value}" for name, value in setting.items())
        _run([program, *tests], what, **setting, **environment)


def _uncovered(directory: pathlib.Path) -> int:
    """Prints the lines that were not run, and returns gcovr's exit status."""
    for package in ("cc/conv", "cc/cpu"):
        if not any((directory / package).glob("*.gcda")):
            sys.exit(f"no counts of {package} in {directory}")
    command = [sys.executable, "-m", "gcovr", "--root", ".", str(directory)]
    command += ["--filter", "cc/conv/", "--filter", "cc/cpu/"]
    # A line of a template counts once for all types, and one of a kernel for all isas. Inner
    # loops do run more often than gcovr believes.
    command += ["--merge-lines", "--merge-mode-functions=merge-use-line-min"]
    command += ["--gcov-suspicious-hits-threshold=0"]
    # What a closing brace does by itself it does for exceptions alone.
    command += ["--exclude-lines-by-pattern", r"^\s*}$"]
    command += ["--txt-metric=line", "--txt", "-", "--fail-under-line", "100"]
    return subprocess.run(command, cwd=native.ROOT).returncode


def _coverage(arguments: list[str], isas: list[str]) -> None:
    try:
        import gcovr  # noqa: F401
    except ImportError:
        print(
            "--coverage needs gcovr: pip install -r .ci/coverage-requirements.txt", file=sys.stderr
        )
        sys.exit(2)
    program = test_programs.build_core_test("coverage")
    directory = program.parent
    units = test_programs.core_test_units(test_programs.core_test_sources(), "coverage")
    built = {unit.object.with_suffix(".gcno") for unit in units}
    # Counts of earlier runs, and what tells the lines of objects that are built no longer.
    for file in [*directory.rglob("*.gcda"), *(set(directory.rglob("*.gcno")) - built)]:
        file.unlink()
    for isa in isas:
        what = f"With the kernels for {isa}, for coverage"
        sample = _COVERAGE if isa == isas[-1] else _COVERAGE_OF_OTHERS
        _run([program, *arguments], what, TF_DWBP_CPU_ISA=isa, **sample)
    _run_forced(program, **_COVERAGE)
    if _uncovered(directory) != 0:
        sys.exit("lines of cc/conv or cc/cpu are run by no test")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    how = parser.add_mutually_exclusive_group()
    for option in ("--sanitize", "--tsan", "--coverage", "--old-cpu", "--gpu", "--aarch64"):
        how.add_argument(option, action="store_true")
    parser.add_argument("--random", type=float, metavar="SECONDS")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--isa", action="append", choices=list(native.cpu_isas()))
    parser.add_argument("--only", action="append", default=[], metavar="PART")
    parser.add_argument("--one-of", type=int, metavar="N")
    parser.add_argument("--first", type=int, metavar="N")
    options = parser.parse_args()
    arguments = list(options.only)
    for name in ("random", "seed", "one_of", "first"):
        value = getattr(options, name)
        if value is not None:
            arguments += ["--" + name.replace("_", "-"), str(value)]
    isas = options.isa or list(native.cpu_isas())

    if options.aarch64:
        os.environ.setdefault("CXX", "aarch64-linux-gnu-g++")
        program = test_programs.build_core_test(machine="aarch64")
        _run(["qemu-aarch64", program, *arguments], "With the kernels for aarch64", **_EMULATED)
        return
    if options.gpu:
        program = test_programs.build_gpu_test()
        _run([program, *arguments], "The GPU kernels, emulated")
        for name in ("tiled", "staged", "general", "unknown"):
            what = f"With TF_DWBP_IMPL={name}"
            _run([program, "an_implementation_may_be_forced"], what, TF_DWBP_IMPL=name)
        return
    if options.coverage:
        _coverage(arguments, isas)
        return
    flavour = "sanitized" if options.sanitize else "tsan" if options.tsan else "plain"
    program = test_programs.build_core_test(flavour)
    if options.old_cpu:
        # Even if asked for more than it has.
        command = ["qemu-x86_64", "-cpu", "Nehalem", program, *arguments]
        _run(command, "On a Nehalem, asked for AVX-512", TF_DWBP_CPU_ISA="avx512", **_EMULATED)
        return
    environment = _TSAN if options.tsan else {}
    for isa in [None] if options.tsan and not options.isa else isas:
        what = f"With the kernels for {isa or 'this machine'}"
        chosen = {"TF_DWBP_CPU_ISA": isa} if isa else {}
        _run([program, *arguments], what, **chosen, **environment)
    if not arguments:
        _run_forced(program, **environment)


if __name__ == "__main__":
    try:
        main()
    except native.BuildError as error:
        sys.exit(str(error))
