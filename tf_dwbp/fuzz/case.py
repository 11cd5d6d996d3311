"""One random call: a problem, what its tensors hold, and where in memory they lie."""

import dataclasses
import functools
import shlex

import ml_dtypes
import numpy as np

from tf_dwbp.tools import bounds, problem
from tf_dwbp.tools.problem import DTYPES, Problem

# Small integers, whose sums are exact; numbers with random bits; and these, with Inf, NaN, -0,
# denormals and the largest finite numbers among them.
INTEGERS, REAL, SPECIAL = KINDS = ("integers", "real", "special")

# Sums of at most this are exact in the type that they are kept in.
_EXACT = {
    name: 2 ** (ml_dtypes.finfo(DTYPES[accumulator]).nmant + 1)
    for name, accumulator in bounds.ACCUMULATOR.items()
}
_MANTISSA = {name: ml_dtypes.finfo(dtype).nmant for name, dtype in DTYPES.items()}  # bits stored


@dataclasses.dataclass(frozen=True)
class Case:
    """A call that can be made again anywhere."""

    problem: Problem
    data: str
    seed: int
    offsets: tuple[int, int] = (0, 0)  # of the two tensors, in elements, from 64 byte boundaries

    def to_json(self) -> dict:
        return dataclasses.asdict(self) | {"problem": str(self.problem)}

    @classmethod
    def from_json(cls, fields: dict) -> "Case":
        parsed = problem.parse(fields["problem"])
        return cls(**fields | {"problem": parsed, "offsets": tuple(fields["offsets"])})

    @property
    def options(self) -> str:
        """What `tf-dwbp fuzz` takes to make this call."""
        text = f"--case {shlex.quote(str(self.problem))} --data {self.data} --seed {self.seed}"
        return text + (" --offset {} {}".format(*self.offsets) if any(self.offsets) else "")

    @functools.cached_property
    def exact(self) -> bool:
        """Whether all sums are exact, so that only one answer is right."""
        terms = self.problem.products_each + self.problem.epilogue.bias
        is_exact = self.data == INTEGERS and terms <= _EXACT[self.problem.dtype]
        return is_exact and self.problem.epilogue.is_exact

    def tensors(self) -> dict[str, np.ndarray]:
        """The operands by role, the same on every machine."""
        random = np.random.default_rng(self.seed)
        draw = {INTEGERS: _integers, REAL: _real, SPECIAL: _special}[self.data]
        return {
            role: draw(self.problem, self.problem.shapes[role], random)
            for role in self.problem.roles
        }


def _integers(problem, shape, random):
    """Such that all sums are exact in the accumulator. Zeros of both signs."""
    limit = _EXACT[problem.dtype] // max(1, problem.products_each + problem.epilogue.bias)
    largest = min(int(limit**0.5), 2 ** (_MANTISSA[problem.dtype] + 1), 1000)
    largest = max(1, min(largest, int(random.choice([1, 2, 4, 16, 1000]))))
    values = np.concatenate([[-0.0], np.arange(-largest, largest + 1)]).astype(
        DTYPES[problem.dtype]
    )
    kind = np.uint8 if len(values) <= 256 else np.uint16
    return values[random.integers(0, len(values), shape, kind)]


def _real(problem, shape, random):
    """All bits random but the magnitude, in [0.5, 2): no product goes missing unseen."""
    dtype, mantissa = DTYPES[problem.dtype], _MANTISSA[problem.dtype]
    bits = np.dtype(f"u{dtype.itemsize}")
    drawn = np.frombuffer(random.bytes(int(np.prod(shape)) * bits.itemsize), bits).copy()
    exponent_bits = 8 * bits.itemsize - 1 - mantissa
    bias = 2 ** (exponent_bits - 1) - 1
    sign = 1 << (8 * bits.itemsize - 1)
    drawn &= bits.type(sign | (1 << (mantissa + 1)) - 1)  # the exponent's lowest bit as well
    drawn |= bits.type((bias - 1) << mantissa)
    return drawn.view(dtype).reshape(shape)


def _special(problem, shape, random):
    """A few of some of the numbers that arithmetic treats in a way of its own."""
    dtype = DTYPES[problem.dtype]
    info = ml_dtypes.finfo(dtype)
    tensor = _real(problem, shape, random)
    tiny, normal, largest = map(float, (info.smallest_subnormal, info.smallest_normal, info.max))
    groups = (
        [np.inf],
        [-np.inf, np.inf],
        [np.nan],
        [0.0, -0.0],
        [tiny, -tiny, 5 * tiny, normal / 2],
        [normal, -normal, normal * 1.5],
        [largest, -largest],
        [largest / 2, -largest / 4],
    )
    chosen = random.choice(len(groups), random.integers(1, 4), replace=False)
    values = np.array([v for i in chosen for v in groups[i]]).astype(dtype)
    share = random.choice([0, 0.001, 0.02, 0.3])
    number = min(tensor.size, 1 + int(share * tensor.size))
    flat = tensor.reshape(-1)
    if flat.size:
        flat[random.integers(0, flat.size, number)] = random.choice(values, number)
    return tensor
