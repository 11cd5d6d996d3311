#!/usr/bin/env python3
"""Runs the GPU kernels on a GPU, without TensorFlow.

  python tests/gpu/harness.py conformance   the matrix of tf_dwbp/conformance, against its reference
  python tests/gpu/harness.py large         tensors of more than 2^31 elements
  python tests/gpu/harness.py sanitize      conformance under compute-sanitizer, if that is there
  python tests/gpu/harness.py bench         beside PyTorch and a copy of the same bytes
  python tests/gpu/harness.py build         builds the library only
  python tests/gpu/harness.py list          the calls that conformance and bench would make
  python tests/gpu/harness.py explain TEXT  how a problem would be computed, and why not otherwise

It needs NumPy, ml_dtypes, g++ and nvcc (found as setup.py finds it), for bench PyTorch too.
`--emulated` runs conformance on the CPU, by cc/gpu/device/emulator.h instead of nvcc, and bench's
comparison with PyTorch's answers, without times.

Exit status: 0 if all is well, 1 if something is wrong, 3 where there is no GPU (or no nvcc).
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

# The package's own __init__ loads TensorFlow; what is wanted of it here does without.
_package = types.ModuleType("tf_dwbp")
_package.__path__ = [str(ROOT / "tf_dwbp")]
sys.modules.setdefault("tf_dwbp", _package)

import numpy as np  # noqa: E402
from gpu import bench, kernels  # noqa: E402

from build_support import cuda_toolkit, native  # noqa: E402
from tf_dwbp.conformance import cases, verdicts  # noqa: E402

NO_GPU = 3


def _parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "command",
        choices=("conformance", "large", "sanitize", "bench", "build", "list", "explain"),
    )
    parser.add_argument("problem", nargs="?", help="of explain: its text")
    parser.add_argument("--emulated", action="store_true", help="on the CPU")
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
    parser.add_argument("--json", type=pathlib.Path, help="of bench: where to write the figures")
    return parser, parser.parse_intermixed_args(arguments)


def _build(emulated):
    cuda = None if emulated else cuda_toolkit.find()
    if cuda is None and not emulated:
        sys.exit(_complain(f"No nvcc to build the kernels with: {cuda_toolkit.why_not()}."))
    return native.build_gpu_harness(cuda)


def _complain(text):
    print(text, file=sys.stderr)
    return NO_GPU


def _conformance(library, options):
    selected = cases.select(layouts=options.layout, ops=options.op, orders=[0], quick=options.quick)
    failed, start = 0, time.monotonic()
    for case in selected:
        wrong = _wrong(library, case)
        if wrong:
            failed += 1
            print(f"FAILED {case.id}: {wrong}", flush=True)
    seconds = time.monotonic() - start
    print(
        f"{len(selected) - failed} passed, {failed} failed, {seconds:.0f} s on {library.device()}"
    )
    return 1 if failed else 0


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
        library.compute(problem, a, b, np.empty(shape, cases.DTYPES[case.dtype]))
        for _ in range(1 if library.emulated else 2)
    ]
    if answers[0].tobytes() != answers[-1].tobytes():
        return "two runs differ"
    outcome = verdicts.judge(answers[0], case, expected)
    return "" if outcome.verdict is verdicts.Verdict.AGREES else outcome.evidence


def _large(library, options):
    """Half-precision tensors of 2^31 elements and a few: their last rows, where all is 1."""
    failed = 0
    one = 0x3C  # as both bytes of a half: 1.0586
    value = float(np.array(0x3C3C, np.uint16).view(np.float16))
    height, width, channels = 4099, 4096, 128
    for layout in options.layout:
        sizes = (1, height, width, channels) if layout == "NHWC" else (1, channels, height, width)
        elements = int(np.prod(sizes, dtype=np.int64))
        for filter_size in (3, 4):  # a configuration's, and the general kernels'
            for op in options.op:
                ones = [1, 1, 1, 1]
                filter_shape = (filter_size, filter_size, channels, 1)
                problem = kernels.problem_of(
                    op, "half", sizes, filter_shape, ones, "SAME", data_format=layout
                )
                filter_bytes = 2 * int(np.prod(filter_shape))
                sizes_of = {"input": 2 * elements, "filter": filter_bytes, "output": 2 * elements}
                result = {"forward": "output", "input_grad": "input", "filter_grad": "filter"}[op]
                operands = [role for role in sizes_of if role != result]
                with (
                    library.plan(problem) as plan,
                    library.allocate(sizes_of[operands[0]]) as a,
                    library.allocate(sizes_of[operands[1]]) as b,
                    library.allocate(sizes_of[result]) as out,
                    library.allocate(plan.workspace_bytes) as workspace,
                ):
                    a.fill(one)
                    b.fill(one)
                    out.fill(0xFF)
                    addresses = [buffer.data.value for buffer in (a, b, out, workspace)]
                    plan.launch(*addresses)
                    taps = filter_size**2
                    if op == "filter_grad":
                        # More than a half can hold.
                        found = out.read(np.empty(filter_bytes // 2, np.float16))
                        right = np.isposinf(found).all()
                    else:
                        # A run that begins behind element 2^31, in the last column but one or
                        # the last row but two: clear of the borders.
                        clear = ((height - 3) * width + width // 2) * channels
                        if layout == "NCHW":
                            clear = ((channels - 1) * height + height - 4) * width + 8
                        found = out.read(np.empty(channels, np.float16), 2 * clear)
                        exact = np.float16(taps * value * value)
                        right = clear > 2**31 and (found == exact).all()
                failed += not right
                print(f"{'passed' if right else 'FAILED'} {op} {layout} {filter_size}", flush=True)
    return 1 if failed else 0


def _sanitize(options):
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.access(tool, os.X_OK):
        return _complain("compute-sanitizer is neither on PATH nor in /usr/local/cuda/bin.")
    for kind in ("memcheck", "racecheck", "synccheck"):
        print(f"{kind}:", flush=True)
        command = [tool, "--tool", kind, "--error-exitcode", "1", sys.executable, __file__]
        done = subprocess.run([*command, "conformance", "--quick", "--op", *options.op])
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


def main(arguments=None):
    parser, options = _parse(arguments)
    if options.emulated and options.command not in ("build", "conformance", "bench", "explain"):
        parser.error("--emulated is for build, conformance, bench and explain")
    if (options.command == "explain") != (options.problem is not None):
        parser.error("explain, and nothing else, takes a problem's text")
    if options.command == "list":
        return _list(options)
    try:
        path = _build(options.emulated)
    except (native.BuildError, cuda_toolkit.NotFound) as error:
        print(error, file=sys.stderr)
        return 1
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
    if options.command == "conformance":
        return _conformance(library, options)
    if options.command == "large":
        return _large(library, options)
    if options.command == "sanitize":
        return _sanitize(options)
    return bench.compare(library, options) if library.emulated else bench.run(library, options)


if __name__ == "__main__":
    sys.exit(main())
