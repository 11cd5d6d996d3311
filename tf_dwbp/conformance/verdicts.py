"""Judges one answer to one case, by an error bound that rounding analysis yields.

Let an element of the gradient be a sum of n products, S the sum of their absolute values, and
gamma_n(u) = n u / (1 - n u), the classic bound on a sum of n rounded products in any order. An
answer agrees when it is within

    gamma_n(u_acc) S                        accumulating in float (double for double)
  + u_T (|reference| + gamma_n(u_acc) S)    rounding once to the dtype, if that is narrower
  + the smallest subnormal of T             rounding near zero
  + gamma_n(2^-53) S                        the reference's own error

of the reference. An answer outside that bound, but within what accumulating in the dtype itself
can lose, is imprecise. Two answers that both agree differ by less than the sum of their bounds.
"""

import dataclasses
import enum
import zlib

import ml_dtypes
import numpy as np

from tf_dwbp.conformance import reference
from tf_dwbp.conformance.cases import DTYPES, Case

_ACCUMULATOR = {"half": "float", "bfloat16": "float", "float": "float", "double": "double"}


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
    """The reference's answer, how far from it is right, and how far is merely imprecise."""

    value: np.ndarray
    bound: np.ndarray
    bound_in_dtype: np.ndarray


def expectation(case: Case) -> Expectation:
    """What the answer to `case` must be."""
    return expectation_of(case.dtype, case.input_sizes, *case.inputs(), **case.attributes)


def expectation_of(dtype, input_sizes, filter, out_backprop, **attributes) -> Expectation:
    """What the answer to any call of the op must be."""
    arguments = (input_sizes, filter, out_backprop)
    value = reference.input_grad(*arguments, **attributes)
    total = reference.absolute_products(*arguments, **attributes)
    count = reference.product_counts(*arguments, **attributes)

    own_error = _gamma(count, "double") * total
    subnormal = float(ml_dtypes.finfo(DTYPES[dtype]).smallest_subnormal)

    def bound(accumulator):
        accumulated = _gamma(count, accumulator) * total
        narrowing = 0 if accumulator == dtype else _unit_roundoff(dtype)
        return accumulated + narrowing * (np.abs(value) + accumulated) + subnormal + own_error

    return Expectation(value, bound(_ACCUMULATOR[dtype]), bound(dtype))


def judge(answer, case: Case, expected: Expectation) -> Outcome:
    """The verdict on an implementation's answer to `case`."""
    answer = np.asarray(answer)
    if answer.dtype != DTYPES[case.dtype]:
        return Outcome(Verdict.WRONG, f"dtype {answer.dtype}, expected {case.dtype}")
    if answer.shape != case.input_sizes:
        shapes = f"shape {list(answer.shape)}, expected {list(case.input_sizes)}"
        return Outcome(Verdict.WRONG, shapes)
    digest = f"{zlib.crc32(np.ascontiguousarray(answer).tobytes()):08x}"
    if answer.size == 0:
        return Outcome(Verdict.AGREES, digest=digest)

    answer = answer.astype(np.float64)
    error = np.abs(answer - expected.value)
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


def _unit_roundoff(dtype):
    return float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2


def _gamma(count, dtype):
    product = count * _unit_roundoff(dtype)
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)
