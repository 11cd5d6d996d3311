"""Judges one answer to one case, by the bound that `tools.bounds` derives."""

import dataclasses
import enum
import zlib

import numpy as np

from tf_dwbp.conformance.cases import DTYPES, Case
from tf_dwbp.tools import bounds, reference


class Verdict(str, enum.Enum):
    """What an implementation did with a case, from the best to the worst."""

    AGREES = "agrees"
    BARRED = "barred"  # by TensorFlow, before it reaches any device
    IMPRECISE = "imprecise"
    SKIPPED = "skipped"
    REFUSES = "refuses"
    ELSEWHERE = "elsewhere"  # than on the device that was asked for
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


def expectation(case: Case) -> bounds.Expectation:
    """What the answer to `case`, a call of an op, must be."""
    (only,) = expectations(case)
    return only


def expectations(case: Case) -> list[bounds.Expectation]:
    """What the answers to `case` must be, in the order of `reference.derivatives`."""
    tensors = case.tensors()
    directions = case.directions() if case.order > 1 else {}
    return [
        bounds.expectation_of(
            case.dtype,
            result,
            tensors | {role: array for role, array in directions.items() if role == varied},
            case.input_sizes,
            case.filter_shape,
            finish=case.epilogue,
            **case.attributes,
        )
        for varied, result in reference.derivatives(case.op, case.order)
    ]


def judge(answer, case: Case, expected: bounds.Expectation) -> Outcome:
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


def judge_all(answers, case: Case, expected: list[bounds.Expectation]) -> Outcome:
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
