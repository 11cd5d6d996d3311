"""Relations between calls, which need no reference and no bound: the same bits must come of both.

Each follows from what the ops mean, and none is asked for where a right implementation may break
it. Sums of floating-point numbers depend on their order, and an implementation may choose that
by where a channel lies in its block, by the number of images or by the kind of padding: what
moves channels, images or padding holds to the bit where all sums are exact, of small integers, and
is checked there alone. Scaling by a power of two changes no rounding, whatever the order, so it
is checked on numbers with random bits, too. Nothing is checked on data that may overflow, or with
Inf, NaN and denormals among it: `judge` knows what is right there.

That repeated calls lead to the same bits is the same kind of relation; `findings` checks it.
"""

import dataclasses
import functools
from collections.abc import Callable

import ml_dtypes
import numpy as np

from tf_dwbp.fuzz.case import SPECIAL, Case
from tf_dwbp.fuzz.judge import Expected
from tf_dwbp.tools import reference
from tf_dwbp.tools.problem import ARGUMENTS, DTYPES, Problem

Arrays = dict[str, np.ndarray]  # by role
Call = Callable[[Problem, Arrays], np.ndarray]  # makes a call of a problem's op

SCALING, CHANNELS, BATCH, PADDING, ADJOINT = NAMES = (
    "scaling",
    "channel permutation",
    "batch splitting",
    "padding by zeros",
    "adjoint",
)

# Numbers of random bits lie in [0.5, 2). Half, summed in float, keeps multiples of 2**-22 and has
# 2**-24 as its smallest number: two bits are left. Others have far more than this.
_MOST_SHIFT = {"half": 2}
_USUAL_SHIFT = 12


@dataclasses.dataclass(frozen=True)
class Relation:
    """A relation that must hold for a case."""

    name: str
    fault: Callable[[np.ndarray, Call], str]  # of the case's answer; makes the calls it needs


def relations(case: Case, arrays: Arrays, several: bool) -> list[Relation]:
    """Those that hold for a case, whatever implements it rightly.

    Args:
      case: the call that was made.
      arrays: the case's tensors.
      several: whether all three ops can be called, not the case's alone.
    """
    problem = case.problem
    if case.data == SPECIAL or not problem.products or problem.epilogue:
        return []  # with an epilogue, the op is not linear
    found = []
    if _largest_sum(case, arrays) * 2.0 ** _shift(case) < float(_finfo(problem).max):
        found += [(SCALING, functools.partial(_scaled, role=role)) for role in problem.operands]
    if case.exact:
        if problem.channels > 1:
            found.append((CHANNELS, _permuted))
        if problem.batch > 1 and (problem.result != "filter" or _representable(case, arrays)):
            found.append((BATCH, _split))
        if any(axis.pad_before or axis.pad_after for axis in (problem.rows, problem.columns)):
            found.append((PADDING, _padded))
        if several and _adjoint_is_exact(case, arrays):
            found.append((ADJOINT, _adjoint))
    return [Relation(name, functools.partial(fault, case, arrays)) for name, fault in found]


def one_of(found: list[Relation], case: Case) -> list[Relation]:
    """One of the relations for every second case, by its seed, such that all have their turn.

    That costs about a tenth of the search; all of every case would cost most of it.
    """
    if not found or case.seed // 32 % 2:
        return []
    names = sorted({relation.name for relation in found})
    chosen = [r for r in found if r.name == names[case.seed // 64 % len(names)]]
    return chosen[case.seed % 2 :][:1] or chosen[:1]


def _scaled(case, arrays, answer, call, role):
    """Linearity, exactly: an operand 2**k times as large leads to a result 2**k times as large.

    Each product, each sum and each rounding is 2**k times what it was, in any order, as long as
    nothing overflows and nothing becomes denormal: of that the shift takes care.
    """
    dtype = DTYPES[case.problem.dtype]
    shift = _shift(case) * (-1 if case.seed // 2 % 2 else 1)

    def times(array):
        return (array.astype(np.float64) * 2.0**shift).astype(dtype)

    scaled = call(case.problem, arrays | {role: times(arrays[role])})
    fault = _differs(scaled, times(answer))
    return fault and f"{ARGUMENTS[role]} times 2**{shift}: {fault}"


def _permuted(case, arrays, answer, call):
    """Channels in another order lead to the result in that order. Exact sums only."""
    problem = case.problem
    order = np.random.default_rng(case.seed).permutation(problem.channels)
    if (order == np.arange(problem.channels)).all():
        order = np.roll(order, 1)

    def permuted(role, array):
        axis = 2 if role == "filter" else problem.layout.index("C")
        if role != "output":
            return np.take(array, order, axis)
        each = np.arange(problem.multiplier)
        return np.take(array, (order[:, None] * problem.multiplier + each).reshape(-1), axis)

    operands = {role: permuted(role, array) for role, array in arrays.items()}
    return _differs(call(problem, operands), permuted(problem.result, answer))


def _split(case, arrays, answer, call):
    """Two parts of the batch lead to the parts of the result; of the filter, to two that add up.

    Exact sums only; a filter's gradient must be exact in its own type, too.
    """
    problem = case.problem
    at = int(np.random.default_rng(case.seed).integers(1, problem.batch))
    parts = []
    for images in (slice(0, at), slice(at, problem.batch)):
        operands = {role: a if role == "filter" else a[images] for role, a in arrays.items()}
        batch = images.stop - images.start
        parts.append(call(dataclasses.replace(problem, batch=batch), operands))
    if problem.result == "filter":
        whole = parts[0].astype(np.float64) + parts[1].astype(np.float64)
        whole = whole.astype(parts[0].dtype)
    else:
        whole = np.concatenate(parts)
    fault = _differs(whole, answer)
    return fault and f"{at} + {problem.batch - at} images: {fault}"


def _padded(case, arrays, answer, call):
    """Padding is the same as an image with zeros around it, without padding. Exact sums only."""
    problem = case.problem
    amounts = [(axis.pad_before, axis.pad_after) for axis in (problem.rows, problem.columns)]
    valid = dataclasses.replace(
        problem,
        height=problem.height + sum(amounts[0]),
        width=problem.width + sum(amounts[1]),
        padding="VALID",
        explicit=(0, 0, 0, 0),
    )
    first = problem.layout.index("H")
    around = [(0, 0)] * first + amounts + [(0, 0)] * (2 - first)
    operands = {
        role: np.pad(array, around) if role == "input" else array for role, array in arrays.items()
    }
    found = call(valid, operands)
    if problem.result == "input":
        if found.shape != tuple(valid.input_sizes):
            return f"shape {list(found.shape)} where {list(valid.input_sizes)} follows"
        pairs = zip(around, answer.shape, strict=True)
        found = found[tuple(slice(before, before + size) for (before, _), size in pairs)]
    fault = _differs(found, answer)
    return fault and f"{valid}: {fault}"


def _adjoint(case, arrays, answer, call):
    """<forward(x, f), g> = <x, input_grad(f, g)> = <f, filter_grad(x, g)>, of small integers.

    All three are the same sum of products of three numbers. What an op computes must be exact in
    its own type.
    """
    problem = case.problem
    tensors = arrays | {problem.result: _weights(case)}
    expected = _inner(answer, tensors[problem.result])
    for op, role in reference.RESULTS.items():
        if op == problem.op:
            continue
        operands = {other: array for other, array in tensors.items() if other != role}
        other = dataclasses.replace(problem, op=op)
        found = call(other, operands)
        if found.shape != tensors[role].shape:
            return f"{op} has shape {list(found.shape)} where {list(tensors[role].shape)} follows"
        if (product := _inner(found, tensors[role])) != expected:
            mine = f"<{problem.op}, {ARGUMENTS[problem.result]}> is {expected:.17g}"
            return f"{mine}, but <{op}, {ARGUMENTS[role]}> is {product:.17g}"
    return ""


def _weights(case):
    """A third tensor, of -1, 0 and 1, for the role that the case's op computes."""
    random = np.random.default_rng([case.seed, 1])
    shape = case.problem.shapes[case.problem.result]
    return random.integers(-1, 2, shape).astype(DTYPES[case.problem.dtype])


def _adjoint_is_exact(case, arrays):
    problem = case.problem
    largest = {role: _largest(array) for role, array in arrays.items()} | {problem.result: 1}
    for op in reference.RESULTS:
        each = dataclasses.replace(problem, op=op).products_each
        first, second = (largest[other] for other in reference.operands(op))
        if each * first * second > _exact_integers(problem):
            return False
    return problem.products * np.prod(list(largest.values())) < 2**53


def _inner(one, other):
    return float(np.vdot(one.astype(np.float64), other.astype(np.float64)))


def _differs(found, follows):
    return Expected(follows.dtype, np.ascontiguousarray(follows), None).fault(found, "follows")


def _shift(case):
    most = _MOST_SHIFT.get(case.problem.dtype, _USUAL_SHIFT)
    return 1 + case.seed // 4 % most


def _largest(array):
    return float(np.max(np.abs(array.astype(np.float64)), initial=0))


def _largest_sum(case, arrays):
    """No sum of the case's products is larger."""
    return case.problem.products_each * np.prod([_largest(array) for array in arrays.values()])


def _representable(case, arrays):
    """Whether all sums are integers that the case's own type has."""
    return _largest_sum(case, arrays) <= _exact_integers(case.problem)


def _exact_integers(problem):
    return 2 ** (_finfo(problem).nmant + 1)


def _finfo(problem):
    return ml_dtypes.finfo(DTYPES[problem.dtype])
