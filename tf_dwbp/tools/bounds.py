"""How far from the right answer an answer may be: an error bound that rounding analysis yields.

Let an element of a result be a sum of n products, S the sum of their absolute values, and
gamma_n(u) = n u / (1 - n u), the classic bound on a sum of n rounded products in any order. An
answer agrees when it is within

    gamma_n(u_acc) S                        accumulating in float (double for double)
  + u_T (|reference| + gamma_n(u_acc) S)    rounding once to the dtype, if that is narrower
  + the smallest subnormal of T             rounding near zero
  + gamma_n(2^-53) S                        the reference's own error

of the reference. With an epilogue, the bias is one of the products, all of that is multiplied by
the steepest slope of the activation, and 16 u_acc |reference| + 4 u_acc |sum| are added for it.
An answer outside that bound, but within what accumulating in the dtype itself
can lose, is imprecise. Two answers that both agree differ by less than the sum of their bounds.

Each gradient of an op is one sum of products of numbers that were given, like the op's own result,
and has the same bound.
"""

import dataclasses
import functools
from collections.abc import Callable

import ml_dtypes
import numpy as np

from tf_dwbp.tools import epilogue, reference
from tf_dwbp.tools.problem import DTYPES

NO_EPILOGUE = epilogue.Epilogue()

# The type that sums are kept in.
ACCUMULATOR = {name: "double" if name == "double" else "float" for name in DTYPES}

# The sums of a filter's gradient grow with batch and image, and a bound that grew with them would
# find nothing. They can be taken in short runs, whose sums are added with compensation at a cost of
# one rounding: n is then the length of a run. Twice that of our kernels leaves room for other ways.
_LONGEST_RUN = 512

# Numbers of random signs cancel, and so do their roundings: a sum kept in the dtype is typically
# off by one unit roundoff of S, and a wrong one by S / sqrt(n). With a larger n than this, or than
# 1 / (u sqrt(n)), wrong sums of narrow types would pass for imprecise ones.
_LONGEST_RUN_IN_DTYPE = 32


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


def expectation_of(
    dtype, result, tensors, input_sizes, filter_sizes, finish=NO_EPILOGUE, **attributes
) -> Expectation:
    """What any member of the family must compute; the arguments are `reference.member`'s.

    `finish` is the epilogue, whose bias is among the tensors if it has one.
    """
    arguments = (result, tensors, input_sizes, filter_sizes)
    value = reference.member(*arguments, **attributes)
    total = reference.absolute_products(*arguments, **attributes)
    count = reference.product_counts(result, input_sizes, filter_sizes, **attributes)
    sums = 0
    if finish:
        bias, layout = tensors.get("bias"), attributes["data_format"]
        sums = np.abs(epilogue.with_bias(finish, value, bias, layout))
        value = epilogue.apply(finish, value, bias, layout)
        total = epilogue.with_bias(finish, total, np.abs(bias) if finish.bias else None, layout)
        count = count + finish.bias
    unit_roundoff = _unit_roundoff(dtype)
    subnormal = float(ml_dtypes.finfo(DTYPES[dtype]).smallest_subnormal)

    def bound(accumulator, longest):
        narrowing = 0 if accumulator == dtype else unit_roundoff
        accumulated = _gamma(np.minimum(count, longest), accumulator)
        found = total * ((1 + narrowing) * accumulated + _gamma(count, "double"))
        if finish:
            own = 0 if finish.is_exact else _unit_roundoff(accumulator)
            found = found * finish.steepest + own * (16 * np.abs(value) + 4 * sums)
        if narrowing:
            found += narrowing * np.abs(value)
        found += subnormal
        return found

    longest = _LONGEST_RUN if result == "filter" else np.inf
    longest_in_dtype = np.minimum(
        _LONGEST_RUN_IN_DTYPE, 1 / (unit_roundoff * np.sqrt(np.maximum(count, 1)))
    )
    in_dtype = functools.partial(bound, dtype, longest_in_dtype)
    return Expectation(value, bound(ACCUMULATOR[dtype], longest), in_dtype)


def _unit_roundoff(dtype):
    return float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2


def _gamma(count, dtype):
    product = count * _unit_roundoff(dtype)
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)
