"""What the answer to a case must be, and whether an answer is that.

Where all sums are exact, one answer is right, to the bit; a sum of zero is +0. Elsewhere an answer
must lie within the bound of `tools.bounds`. Where an Inf or NaN takes part, the definition
says which elements become what, whatever the order of summation. Sums that may overflow on the way,
though their end be finite, depend on that order: they are not judged, but have to be the same
bits in every run.
"""

import dataclasses
import zlib

import ml_dtypes
import numpy as np

from tf_dwbp.fuzz.case import INTEGERS, REAL, Case
from tf_dwbp.tools import bounds, epilogue, reference
from tf_dwbp.tools.problem import DTYPES


def digest(answer: np.ndarray) -> str:
    """Of an answer's type, shape and bits, where one NaN is like another."""
    answer = np.ascontiguousarray(answer)
    if answer.dtype not in DTYPES.values():  # and wrong, whatever it is
        return f"{answer.dtype}{list(answer.shape)}"
    nans = np.isnan(answer)
    if nans.any():
        answer = np.where(nans, np.array(np.nan, answer.dtype), answer)
    return f"{answer.dtype}{list(answer.shape)}{zlib.crc32(answer.view(np.uint8)):08x}"


@dataclasses.dataclass(frozen=True)
class Expected:
    """The right answer; if it isn't the only one, how far from it is right, NaN for any answer."""

    dtype: np.dtype
    value: np.ndarray
    bound: np.ndarray | None

    def fault(self, answer: np.ndarray, why: str = "is right") -> str:
        """What is wrong with an answer; empty if nothing is. `why` follows what it should be."""
        answer = np.asarray(answer)
        if answer.dtype != self.dtype:
            return f"dtype {answer.dtype} where {self.dtype} {why}"
        if answer.shape != self.value.shape:
            return f"shape {list(answer.shape)} where {list(self.value.shape)} {why}"
        off = self._off(answer) if answer.size else np.zeros(0, bool)
        if not off.any():
            return ""
        where = np.unravel_index(np.argmax(off), off.shape)
        text = f"{float(answer[where]):.9g} where {float(self.value[where]):.9g} {why}"
        if self.bound is not None:
            text += f" within {float(self.bound[where]):.3g}"
        where = list(map(int, where))
        return f"{text}, at {where}; {np.count_nonzero(off)} of {off.size} elements are off"

    def _off(self, answer):
        if self.bound is None:
            bits = np.dtype(f"u{self.dtype.itemsize}")
            return np.ascontiguousarray(answer).view(bits) != self.value.view(bits)
        answer = answer.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(answer - self.value) <= self.bound
            same = (answer == self.value) | (np.isnan(answer) & np.isnan(self.value))
        return ~(near | same | np.isnan(self.bound))


def expected(case: Case, tensors: dict[str, np.ndarray]) -> Expected:
    """What the answer must be for these tensors, which are the case's."""
    problem, dtype = case.problem, DTYPES[case.problem.dtype]
    arguments = (problem.input_sizes, problem.filter_sizes)
    with np.errstate(all="ignore"):
        if case.exact:
            value = _finished(problem, tensors, arguments)
            return Expected(dtype, np.ascontiguousarray(value.astype(dtype)), None)
        # Integers may be so large that a result overflows its type: only to the bit, or with care.
        if case.data == REAL or (case.data == INTEGERS and not problem.epilogue):
            bounded = bounds.expectation_of(
                problem.dtype,
                problem.result,
                tensors,
                *arguments,
                finish=problem.epilogue,
                **problem.attributes,
            )
            return Expected(dtype, bounded.value, bounded.bound)
        return _expected_of_special_numbers(problem, dtype, tensors, arguments)


def _finished(problem, tensors, arguments):
    value = reference.member(problem.result, tensors, *arguments, **problem.attributes)
    return epilogue.apply(problem.epilogue, value, tensors.get("bias"), problem.layout)


def _expected_of_special_numbers(problem, dtype, tensors, arguments):
    finite = {
        role: np.where(np.isfinite(tensor), tensor, np.zeros_like(tensor))
        for role, tensor in tensors.items()
    }
    value = _finished(problem, tensors, arguments)
    bounded = bounds.expectation_of(
        problem.dtype,
        problem.result,
        finite,
        *arguments,
        finish=problem.epilogue,
        **problem.attributes,
    )
    # Scaled, such that not even the largest numbers' products overflow in double.
    scaled = {role: tensor.astype(np.float64) * 2.0**-520 for role, tensor in finite.items()}
    total = reference.absolute_products(problem.result, scaled, *arguments, **problem.attributes)
    if problem.epilogue.bias:  # like a product: scaled by both factors
        bias = np.abs(scaled["bias"]) * 2.0**-520
        total = epilogue.with_bias(problem.epilogue, total, bias, problem.layout)
    count = reference.product_counts(problem.result, *arguments, **problem.attributes)
    accumulator = ml_dtypes.finfo(DTYPES[bounds.ACCUMULATOR[problem.dtype]])
    # Without fused multiply-add each product is rounded, to the smallest subnormal at worst.
    bound = bounded.bound + count * float(accumulator.smallest_subnormal)

    overflows = total >= float(accumulator.max) * 2.0**-1040 * 0.99
    largest = float(ml_dtypes.finfo(dtype).max)
    ulp = largest * float(ml_dtypes.finfo(dtype).eps)
    size = np.abs(value)
    # Rounded once, beyond the type's largest number, within half a unit of its last place: to Inf.
    infinite = np.isfinite(value) & (size - bound > largest + ulp / 2)
    value = np.where(infinite, np.copysign(np.inf, value), value)
    undecided = np.isfinite(value) & (size + bound >= largest + ulp / 2)
    bound = np.where(np.isfinite(value), bound, 0)
    return Expected(dtype, value, np.where(overflows | undecided, np.nan, bound))
