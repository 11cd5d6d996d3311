#!/usr/bin/env python3
"""Runs the GPU kernels on a GPU, without TensorFlow.

  python tests/gpu/harness.py conformance   the matrix of tf_dwbp/conformance, against its reference
  python tests/gpu/harness.py fuzz          random calls, against the same reference
  python tests/gpu/harness.py large         tensors of more than 2^31 elements
  python tests/gpu/harness.py sanitize      conformance under compute-sanitizer, if that is there
  python tests/gpu/harness.py bench         beside PyTorch and a copy of the same bytes
  python tests/gpu/harness.py build         builds the library only
  python tests/gpu/harness.py list          the calls that conformance and bench would make
  python tests/gpu/harness.py explain TEXT  how a problem would be computed, and why not otherwise
  python tests/gpu/harness.py profile TEXT  computes a problem twice, for a profiler to watch

It needs NumPy, ml_dtypes, g++ and nvcc (found as setup.py finds it), for bench PyTorch too; with
`--library` no compiler. `--emulated` runs most of it on the CPU, by cc/gpu/device/emulator.h
instead of nvcc, and of bench the comparison with PyTorch's answers, without times; `--sanitized`
does so under AddressSanitizer and UBSan.

Exit status: 0 if all is well, 1 if something is wrong, 2 on wrong usage or without PyTorch, 3 where
there is no GPU (or no nvcc).
"""

import argparse
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import time
import types

ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

# The package's own __init__ loads TensorFlow; what is wanted of it here does without.
_package = types.ModuleType("tf_dwbp")
_package.__path__ = [str(ROOT / "tf_dwbp")]
sys.modules.setdefault("tf_dwbp", _package)

import numpy as np  # noqa: E402
from gpu import bench, fuzz, kernels, large  # noqa: E402

from build_support import cuda_toolkit, native, test_programs  # noqa: E402
from tf_dwbp.conformance import cases, verdicts  # noqa: E402
from tf_dwbp.tools.problem import DTYPES, parse  # noqa: E402

NO_GPU = 3

_TOOLS = ("memcheck", "racecheck", "synccheck")


def _parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "command",
        choices=(
            "conformance",
            "fuzz",
            "large",
            "sanitize",
            "bench",
            "build",
            "list",
            "explain",
            "profile",
        ),
    )
    parser.add_argument("problem", nargs="?", help="of explain and profile: its text")
    parser.add_argument("--library", type=pathlib.Path, help="one that was built before")
    parser.add_argument("--emulated", action="store_true", help="on the CPU")
    parser.add_argument("--sanitized", action="store_true", help="on the CPU, under sanitizers")
    parser.add_argument("--quick", action="store_true", help="a tenth of the conformance cases")
    parser.add_argument("--op", nargs="+", choices=cases.OPS, default=list(cases.OPS))
    parser.add_argument("--layout", nargs="+", choices=cases.LAYOUTS, default=list(cases.LAYOUTS))
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=bench.DTYPE_CHOICES,
        default=list(bench.DTYPE_CHOICES),
        help="of bench",
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[32, 256], help="of bench")
    parser.add_argument("--shapes", nargs="+", default=[], help="of bench: parts of their names")
    parser.add_argument("--rounds", type=int, default=11, help="of bench")
    parser.add_argument("--seed", type=int, default=1, help="of fuzz")
    parser.add_argument(
        "--layers", action="store_true", help="of fuzz: such as networks have, for strips and tiles"
    )
    parser.add_argument("--start", type=int, default=0, help="of fuzz: the seed's first case")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--calls", type=int, default=1000, help="of fuzz: how many")
    length.add_argument("--seconds", type=float, help="of fuzz and bench: or for how long")
    parser.add_argument("--tool", nargs="+", choices=_TOOLS, default=_TOOLS, help="of sanitize")
    parser.add_argument(
        "--json", type=pathlib.Path, help="of what judges and bench: where to write what came"
    )
    return parser, parser.parse_intermixed_args(arguments)


def _build(options):
    if options.library:
        return options.library
    if options.sanitized:
        return test_programs.build_gpu_harness()
    cuda = None if options.emulated else cuda_toolkit.find()
    if cuda is None and not options.emulated:
        sys.exit(_complain(f"No nvcc to build the kernels with: {cuda_toolkit.why_not()}."))
    return native.build_gpu_harness(cuda)


def _under_sanitizers():
    """Begins again with the sanitizers' runtime loaded before all else, as it has to be."""
    runtime = test_programs.sanitizer_runtime()
    if os.environ.get("LD_PRELOAD") == runtime:
        return
    # Python itself leaks what it leaves behind.
    settings = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)


def _complain(text):
    print(text, file=sys.stderr)
    return NO_GPU


def _conformance(library, options):
    selected = cases.select(layouts=options.layout, ops=options.op, orders=[0], quick=options.quick)
    failures, start = [], time.monotonic()
    for case in selected:
        try:
            wrong = _wrong(library, case)
        except kernels.GpuError as error:
            wrong = str(error)
        if wrong:
            failures.append(f"{case.id}: {wrong}")
            print(f"FAILED {failures[-1]}", flush=True)
    return kernels.conclude(library, options, start, len(selected), failures)


def _wrong(library, case):
    """What is wrong with our answer to a case, or ""."""
    a, b = case.inputs()
    attributes = case.attributes
    problem = kernels.problem_of(
        case.op, case.dtype, case.input_sizes, case.filter_shape, **attributes
    )
    expected = verdicts.expectation(case)
    shape = expected.value.shape
    answers = [
        library.compute(problem, (a, b), np.empty(shape, cases.DTYPES[case.dtype]))
        for _ in range(1 if library.emulated else 2)
    ]
    if answers[0].tobytes() != answers[-1].tobytes():
        return "two runs differ"
    outcome = verdicts.judge(answers[0], case, expected)
    return "" if outcome.verdict is verdicts.Verdict.AGREES else outcome.evidence


def _sanitize(options):
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.access(tool, os.X_OK):
        return _complain("compute-sanitizer is neither on PATH nor in /usr/local/cuda/bin.")
    for kind in options.tool:
        print(f"{kind}:", flush=True)
        command = [tool, "--tool", kind, "--error-exitcode", "1", sys.executable, __file__]
        command += ["conformance", "--quick", "--op", *options.op, "--layout", *options.layout]
        if options.library:
            command += ["--library", str(options.library)]
        done = subprocess.run(command)
        if done.returncode:
            return done.returncode
    return 0


def _list(options):
    for case in cases.select(
        layouts=options.layout, ops=options.op, orders=[0], quick=options.quick
    ):
        print("conformance", case.id)
    for call in bench.calls(options):
        print("bench", call.op, call.dtype, call.layout, call.shape.name)
    return 0


def _explain(library, options):
    try:
        print(library.explain(options.problem))
    except kernels.GpuError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _profile(library, options):
    parsed = parse(options.problem)
    operands = [np.ones(parsed.shapes[role], DTYPES[parsed.dtype]) for role in parsed.roles]
    for _ in range(2):
        result = np.empty(parsed.shapes[parsed.result], DTYPES[parsed.dtype])
        library.compute(parsed, operands, result)
    print(f"computed {parsed} twice")
    return 0


def main(arguments=None):
    parser, options = _parse(arguments)
    options.emulated = options.emulated or options.sanitized
    emulated = ("build", "conformance", "fuzz", "large", "bench", "explain", "profile")
    if options.emulated and options.command not in emulated:
        parser.error(f"--emulated and --sanitized are for {', '.join(emulated)}")
    if (options.command in ("explain", "profile")) != (options.problem is not None):
        parser.error("explain and profile, and nothing else, take a problem's text")
    if options.command == "list":
        return _list(options)
    try:
        path = _build(options)
    except (native.BuildError, cuda_toolkit.NotFound) as error:
        print(error, file=sys.stderr)
        return 1
    if options.sanitized and options.command != "build":
        _under_sanitizers()
    library = kernels.Library(path)
    if options.command == "build":
        print(path)
        return 0
    if options.command == "explain":
        return _explain(library, options)
    try:
        print(f"On {library.device()}")
    except kernels.GpuError as error:
        return _complain(f"There is no GPU to run on: {error}.")
    if not library.emulated:
        for dtype in cases.DTYPES:
            problem = kernels.problem_of("forward", dtype, [1] * 4, [1] * 4, [1] * 4, "SAME")
            registers, spilled = library.resources(problem)
            print(f"{dtype}: kernels of up to {registers} registers, {spilled} bytes spilled")
    if options.command == "profile":
        return _profile(library, options)
    if options.command == "conformance":
        return _conformance(library, options)
    if options.command == "fuzz":
        return fuzz.run(library, options)
    if options.command == "large":
        return large.run(library, options)
    if options.command == "sanitize":
        return _sanitize(options)
    if importlib.util.find_spec("torch") is None:
        print("bench needs PyTorch, which is not installed.", file=sys.stderr)
        return 2
    return bench.compare(library, options) if library.emulated else bench.run(library, options)


if __name__ == "__main__":
    sys.exit(main())
