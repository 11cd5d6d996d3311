"""Random calls of the GPU kernels, drawn and judged as `tf-dwbp fuzz` does, without TensorFlow."""

import time

import numpy as np
from gpu import kernels

from tf_dwbp.fuzz import draw, judge
from tf_dwbp.tools.problem import DTYPES

# Every so many cases are the general kernels', which take any.
_GENERAL = 4


def case_of(options, number):
    """Case `number`: the seed decides on it, on where the result lies and who computes it."""
    filters = draw.Filters(
        ops=tuple(options.op),
        layouts=tuple(options.layout),
        epilogues=True,
        large_filters=True,
        layers=options.layers,
    )
    return draw.case(options.seed, number, filters)


def run(library, options):
    """Makes calls for so long, or so many of them; returns the exit status."""
    start, failures, number = time.monotonic(), [], options.start
    counts = {"large filters": 0, "by general kernels": 0, "of exact sums": 0}

    def more():
        if options.seconds is not None:
            return time.monotonic() - start < options.seconds
        return number < options.start + options.calls

    while more():
        case = case_of(options, number)
        try:
            wrong = _wrong(library, case, options.seed, number)
        except kernels.GpuError as error:
            wrong = str(error)
        if wrong:
            layers = " --layers" if options.layers else ""
            again = f"fuzz --seed {options.seed}{layers} --start {number} --calls 1"
            failures.append(f"{case.problem}: {wrong} ({again})")
            print(f"FAILED {failures[-1]}", flush=True)
        counts["large filters"] += max(case.problem.filter_sizes[:2]) > 15
        counts["by general kernels"] += number % _GENERAL == 0
        counts["of exact sums"] += case.exact
        number += 1
    print(f"seed {options.seed}, cases {options.start} to {number - 1}: ", end="")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return kernels.conclude(library, options, start, number - options.start, failures)


def _wrong(library, case, seed, number):
    """What is wrong with our answer to a case, or ""."""
    tensors = case.tensors()
    expected = judge.expected(case, tensors)
    problem, varied = case.problem, np.random.default_rng([seed, number, 1])
    operands = [np.ascontiguousarray(tensors[role]) for role in problem.roles]
    beside = int(varied.integers(0, 16)) if any(case.offsets) else 0
    by = "general" if number % _GENERAL == 0 else ""
    answers = []
    # On a GPU twice, for the same bits.
    for _ in range(1 if library.emulated else 2):
        library.vary(int(varied.integers(2**31)))
        result = np.empty(problem.shapes[problem.result], DTYPES[problem.dtype])
        answers.append(
            library.compute(problem, operands, result, (*case.offsets, beside), implementation=by)
        )
    if judge.digest(answers[0]) != judge.digest(answers[-1]):
        return "two runs differ"
    return expected.fault(answers[0])
