"""Makes a call that fails smaller, step by step, as long as it fails."""

import dataclasses
import time
from collections.abc import Callable, Iterator

from tf_dwbp.fuzz.case import INTEGERS, REAL, Case
from tf_dwbp.fuzz.ways import Ways
from tf_dwbp.tools.epilogue import Epilogue

_SIZES = (
    "batch",
    "height",
    "width",
    "channels",
    "multiplier",
    "filter_height",
    "filter_width",
    "stride_y",
    "stride_x",
    "dilation_y",
    "dilation_x",
)


def shrink(
    case: Case,
    ways: Ways,
    fails: Callable[[Case, Ways], bool],
    most_steps: int = 200,
    most_seconds: float = 20,
) -> tuple[Case, Ways]:
    """The smallest call found that fails, and the fewest ways to make it.

    Args:
      case: a call that fails.
      ways: how it was called.
      fails: makes a call, and tells whether it fails in the same manner.
      most_steps: how many calls to try at most.
      most_seconds: how long to go on.
    """
    deadline = time.monotonic() + most_seconds
    steps = 0
    tried = {(case, ways)}
    found = True
    while found:
        found = False
        for candidate in _smaller(case, ways):
            if candidate in tried:
                continue
            if steps >= most_steps or time.monotonic() > deadline:
                return case, ways
            tried.add(candidate)
            steps += 1
            if fails(*candidate):
                case, ways = candidate
                found = True
                break
    return case, ways


def _smaller(case: Case, ways: Ways) -> Iterator[tuple[Case, Ways]]:
    """Calls that are simpler in one respect, the greatest steps first."""
    for fewer in ways.fewer():
        yield case, fewer
    if any(case.offsets):
        yield dataclasses.replace(case, offsets=(0, 0)), ways
        for i in (0, 1):
            offsets = tuple(0 if i == j else offset for j, offset in enumerate(case.offsets))
            yield dataclasses.replace(case, offsets=offsets), ways
    for kind in (INTEGERS, REAL):
        if case.data not in (INTEGERS, kind):
            yield dataclasses.replace(case, data=kind), ways
    if case.data == REAL:
        yield dataclasses.replace(case, data=INTEGERS), ways

    problem = case.problem

    def changed(**fields):
        return dataclasses.replace(case, problem=dataclasses.replace(problem, **fields)), ways

    for divisor in (None, 2, 1.25, 0):  # down to 1, by half, by a fifth, by 1
        for name in _SIZES:
            size = getattr(problem, name)
            if size > 1:
                new = 1 if divisor is None else int(size / divisor) if divisor else size - 1
                if new < size:
                    yield changed(**{name: new})
    if problem.epilogue:
        yield changed(epilogue=Epilogue())
        if problem.epilogue.bias and problem.epilogue.activation != "linear":
            yield changed(epilogue=Epilogue(bias=True))
            yield changed(epilogue=dataclasses.replace(problem.epilogue, bias=False))
    if problem.padding == "EXPLICIT":
        for i, amount in enumerate(problem.explicit):
            for less in {0, amount // 2, amount - 1} if amount else ():
                explicit = tuple(less if i == j else n for j, n in enumerate(problem.explicit))
                yield changed(explicit=explicit)
    if problem.padding != "VALID":
        yield changed(padding="VALID", explicit=(0, 0, 0, 0))
    if problem.dtype != "float":
        yield changed(dtype="float")
    if problem.layout != "NHWC":
        yield changed(layout="NHWC")
