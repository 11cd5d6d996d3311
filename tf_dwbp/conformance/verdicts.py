"""Judges one answer to one case, by an error bound that rounding analysis yields.

Let an element of a result be a sum of n products, S the sum of their absolute values, and
gamma_n(u) = n u / (1 - n u), the classic bound on a sum of n rounded products in any order. An
answer agrees when it is within

    gamma_n(u_acc) S                        accumulating in float (double for double)
  + u_T (|reference| + gamma_n(u_acc) S)    rounding once to the dtype, if that is narrower
  + the smallest subnormal of T             rounding near zero
  + gamma_n(2^-53) S                        the reference's own error

of the reference. An answer outside that bound, but within what accumulating in the dtype itself
can lose, is imprecise. Two answers that both agree differ by less than the sum of their bounds.

Each gradient of an op is one sum of products of numbers that were given, like the op's own result,
and has the same bound.
"""

import dataclasses
import enum
import functools
import zlib
from collections.abc import Callable

import ml_dtypes
import numpy as np

from tf_dwbp.conformance import reference
from tf_dwbp.conformance.cases import DTYPES, Case

_ACCUMULATOR = {"half": "float", "bfloat16": "float", "float": "float", "double": "double"}

# The sums of a filter's gradient grow with batch and image, and a bound that grew with them would
# find nothing. They can be taken in short runs, whose sums are added with compensation at a cost of
# one rounding: n is then the length of a run. Twice that of our kernels leaves room for other ways.
_LONGEST_RUN = 512

# Numbers of random signs cancel, and so do their roundings: a sum kept in the dtype is typically
# off by one unit roundoff of S, and a wrong one by S / sqrt(n). With a larger n than this, or than
# 1 / (u sqrt(n)), wrong sums of narrow types would pass for imprecise ones.
_LONGEST_RUN_IN_DTYPE = 32


class Verdict(str, enum.Enum):
    """What an implementation did with a case, from the best to the worst."""

    AGREES = "agrees"
    IMPRECISE = "imprecise"
    SKIPPED = "skipped"
    REFUSES = "refuses"
    WRONG = "WRONG"
    HANGS = "hangs"
    DIES = "dies"

    @property
    def severity(self) -> int:
        return list(Verdict).index(self)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A verdict and its evidence."""

    verdict: Verdict
    message: str = ""
    error: float | None = None  # the largest compared with its bound; None if not finite
    bound: float | None = None
    where: tuple[int, ...] | None = None
    digest: str = ""  # of the answer's bits

    @property
    def ratio(self) -> float | None:
        """The error in units of its bound."""
        return None if self.error is None else self.error / self.bound

    @property
    def evidence(self) -> str:
        """The message, and the figures behind it."""
        if self.error is None:
            return self.message
        figures = f"error {self.error:.3g}, bound {self.bound:.3g}, at {list(self.where)}"
        return f"{self.message} ({figures})"

    def to_json(self) -> dict:
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value not in (None, "")
        }

    @classmethod
    def from_json(cls, fields: dict) -> "Outcome":
        where = fields.get("where")
        return cls(
            **fields | {"verdict": Verdict(fields["verdict"]), "where": where and tuple(where)}
        )


@dataclasses.dataclass(frozen=True)
class Expectation:
    """The reference's answer, and how far from it is right."""

    value: np.ndarray
    bound: np.ndarray
    _bound_in_dtype: Callable[[], np.ndarray] = dataclasses.field(repr=False)

    @functools.cached_property
    def bound_in_dtype(self) -> np.ndarray:
        """How far from it is merely imprecise: seldom needed, so that it is computed late."""
        return np.maximum(self.bound, self._bound_in_dtype())


def expectation(case: Case) -> Expectation:
    """What the answer to `case`, a call of an op, must be."""
    (only,) = expectations(case)
    return only


def expectations(case: Case) -> list[Expectation]:
    """What the answers to `case` must be, in the order of `reference.derivatives`."""
    tensors = case.tensors()
    directions = case.directions() if case.order > 1 else {}
    return [
        expectation_of(
            case.dtype,
            result,
            tensors | {role: array for role, array in directions.items() if role == varied},
            case.input_sizes,
            case.filter_shape,
            **case.attributes,
        )
        for varied, result in reference.derivatives(case.op, case.order)
    ]


def expectation_of(dtype, result, tensors, input_sizes, filter_sizes, **attributes) -> Expectation:
    """What any member of the family must compute; the arguments are `reference.member`'s."""
    arguments = (result, tensors, input_sizes, filter_sizes)
    value = reference.member(*arguments, **attributes)
    total = reference.absolute_products(*arguments, **attributes)
    count = reference.product_counts(result, input_sizes, filter_sizes, **attributes)

    unit_roundoff = _unit_roundoff(dtype)
    subnormal = float(ml_dtypes.finfo(DTYPES[dtype]).smallest_subnormal)

    def bound(accumulator, longest):
        narrowing = 0 if accumulator == dtype else unit_roundoff
        accumulated = _gamma(np.minimum(count, longest), accumulator)
        found = total * ((1 + narrowing) * accumulated + _gamma(count, "double"))
        if narrowing:
            found += narrowing * np.abs(value)
        found += subnormal
        return found

    longest = _LONGEST_RUN if result == "filter" else np.inf
    longest_in_dtype = np.minimum(
        _LONGEST_RUN_IN_DTYPE, 1 / (unit_roundoff * np.sqrt(np.maximum(count, 1)))
    )
    in_dtype = functools.partial(bound, dtype, longest_in_dtype)
    return Expectation(value, bound(_ACCUMULATOR[dtype], longest), in_dtype)


def judge(answer, case: Case, expected: Expectation) -> Outcome:
    """The verdict on one tensor of an implementation's answer to `case`."""
    answer = np.asarray(answer)
    if answer.dtype != DTYPES[case.dtype]:
        return Outcome(Verdict.WRONG, f"dtype {answer.dtype}, expected {case.dtype}")
    if answer.shape != expected.value.shape:
        shapes = f"shape {list(answer.shape)}, expected {list(expected.value.shape)}"
        return Outcome(Verdict.WRONG, shapes)
    digest = f"{zlib.crc32(np.ascontiguousarray(answer).tobytes()):08x}"
    if answer.size == 0:
        return Outcome(Verdict.AGREES, digest=digest)

    answer = answer.astype(np.float64)
    error = answer - expected.value
    np.abs(error, out=error)
    error[np.isnan(error)] = np.inf
    where = np.unravel_index(np.argmax(error / expected.bound), error.shape)
    if (error <= expected.bound).all():
        verdict, message = Verdict.AGREES, ""
    else:
        imprecise = (error <= expected.bound_in_dtype).all()
        verdict = Verdict.IMPRECISE if imprecise else Verdict.WRONG
        message = (
            f"{answer[where]:.8g} where {expected.value[where]:.8g} is right; "
            f"{np.count_nonzero(error > expected.bound)} of {error.size} elements are off"
        )
    return Outcome(
        verdict,
        message,
        error=float(error[where]) if np.isfinite(error[where]) else None,
        bound=float(expected.bound[where]),
        where=tuple(map(int, where)),
        digest=digest,
    )


def judge_all(answers, case: Case, expected: list[Expectation]) -> Outcome:
    """The verdict on all tensors of an answer: the worst one, with the bits of all."""
    outcomes = [judge(answer, case, e) for answer, e in zip(answers, expected, strict=True)]
    if case.order == 0:
        return outcomes[0]
    names = [_gradient_name(*pair) for pair in reference.derivatives(case.op, case.order)]

    def badness(pair):
        outcome = pair[1]
        no_figure = np.inf if outcome.bound else 0  # an error that is not finite, or no error
        return outcome.verdict.severity, no_figure if outcome.ratio is None else outcome.ratio

    name, worst = max(zip(names, outcomes, strict=True), key=badness)
    message = f"{name}: {worst.message}" if worst.message else ""
    digest = "".join(outcome.digest for outcome in outcomes)
    return dataclasses.replace(worst, message=message, digest=digest)


def _gradient_name(varied, result):
    return f"gradient of {varied}'s gradient for {result}" if varied else f"gradient for {result}"


def _unit_roundoff(dtype):
    return float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2


def _gamma(count, dtype):
    product = count * _unit_roundoff(dtype)
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)
