"""Random calls of the GPU kernels, drawn and judged as `tf-dwbp fuzz` does, without TensorFlow."""

import time

import numpy as np
from gpu import kernels

from tf_dwbp.fuzz import draw, judge
from tf_dwbp.tools.problem import DTYPES

# Of so many cases some go to kernels before which others come.
_TURNS = 8
_FORCED = {0: "general", 2: "tiled", 4: "staged", 6: "staged"}


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
    counts = {"large filters": 0, "of exact sums": 0}
    counts |= {f"by {name} kernels": 0 for name in _FORCED.values()}

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
        if _forced(number):
            counts[f"by {_forced(number)} kernels"] += 1
        counts["of exact sums"] += case.exact
        number += 1
    print(f"seed {options.seed}, cases {options.start} to {number - 1}: ", end="")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return kernels.conclude(library, options, start, number - options.start, failures)


def _forced(number):
    """The implementation that is to compute a case if it takes it; "" leaves the choice."""
    return _FORCED.get(number % _TURNS, "")


def _wrong(library, case, seed, number):
    """What is wrong with our answer to a case, or ""."""
    tensors = case.tensors()
    expected = judge.expected(case, tensors)
    problem, varied = case.problem, np.random.default_rng([seed, number, 1])
    operands = [np.ascontiguousarray(tensors[role]) for role in problem.roles]
    beside = int(varied.integers(0, 16)) if any(case.offsets) else 0
    answers = []
    # On a GPU twice, for the same bits.
    for _ in range(1 if library.emulated else 2):
        library.vary(int(varied.integers(2**31)))
        result = np.empty(problem.shapes[problem.result], DTYPES[problem.dtype])
        answers.append(
            library.compute(
                problem, operands, result, (*case.offsets, beside), implementation=_forced(number)
            )
        )
    if judge.digest(answers[0]) != judge.digest(answers[-1]):
        return "two runs differ"
    return expected.fault(answers[0])
