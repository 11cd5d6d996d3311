"""What the forward op may do to its sums before it rounds them: add a bias, apply an activation.

Its text follows a problem's: `bias`, an activation's name, or both, such as `bias+relu6`;
`leaky_relu(0.2)` has its alpha. cc/conv/epilogue.h has the same for the library, with the
activations' formulas, and accepts and refuses the same texts.
"""

import argparse
import dataclasses
import math
import re

import numpy as np

# Keras's names; "linear" is none.
ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "elu",
    "leaky_relu",
    "silu",
    "hard_silu",
    "gelu",
    "gelu_tanh",
)
_TEXT = re.compile(
    r"(?P<bias>bias(?:\+(?=.)|$))?(?P<activation>[a-z_0-9]+)?(?:\((?P<alpha>-?\d+(?:\.\d+)?)\))?",
    re.ASCII,
)


@dataclasses.dataclass(frozen=True)
class Epilogue:
    """`str` makes the text of it, `parse` reads that; one that does nothing is false."""

    bias: bool = False
    activation: str = "linear"
    alpha: float = 0.0  # leaky_relu's, as float has it

    @property
    def is_exact(self) -> bool:
        """Whether it makes exact results of exact sums."""
        return self.activation in ("linear", "relu", "relu6")

    @property
    def steepest(self) -> float:
        """How much larger a change of the result can be than the change of the sum."""
        return max(1.0, abs(self.alpha)) if self.activation == "leaky_relu" else 1.5

    def __bool__(self):
        return self.bias or self.activation != "linear"

    def __str__(self):
        parts = ["bias"] if self.bias else []
        if self.activation == "leaky_relu":
            alpha = np.format_float_positional(np.float32(self.alpha), trim="-")
            parts.append(f"leaky_relu({alpha})")
        elif self.activation != "linear":
            parts.append(self.activation)
        return "+".join(parts)


def apply(epilogue: Epilogue, sums: np.ndarray, bias: np.ndarray | None, layout: str) -> np.ndarray:
    """What becomes of sums, in float64; `bias` is looked at if the epilogue has one."""
    x = with_bias(epilogue, np.asarray(sums, np.float64), bias, layout)
    with np.errstate(all="ignore"):
        return _FORMULAS[epilogue.activation](x, epilogue.alpha)


def with_bias(epilogue, sums, bias, layout):
    """The sums, or numbers in their place, with the bias of their channels."""
    if not epilogue.bias:
        return sums
    bias = np.asarray(bias, np.float64)
    return sums + (bias if layout == "NHWC" else bias[:, np.newaxis, np.newaxis])


def _logistic(x, z):
    """x / (1 + exp(-z)), with no power that overflows; at -Inf the limit."""
    power = np.exp(-np.abs(z))
    below = np.where(power == 0, -0.0, x * power) / (1 + power)
    return np.where(x < 0, below, x / (1 + power))


def _gelu(x, _):
    normal = np.frompyfunc(math.erfc, 1, 1)(-x * math.sqrt(0.5)).astype(np.float64) / 2
    return np.where(normal == 0, -0.0, x * normal)


def _gelu_tanh(x, _):
    return _logistic(x, math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))


_FORMULAS = {
    "linear": lambda x, _: x,
    "relu": lambda x, _: np.where(x < 0, 0.0, x),
    "relu6": lambda x, _: np.where(x < 0, 0.0, np.where(x > 6, 6.0, x)),
    "elu": lambda x, _: np.where(x < 0, np.expm1(x), x),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "silu": lambda x, _: _logistic(x, x),
    "hard_silu": lambda x, _: np.where(x < -3, -0.0, np.where(x > 3, x, x * ((x + 3) / 6))),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}


def parse(text: str) -> Epilogue:
    """The epilogue that a text stands for. Raises ValueError saying what is wrong with it."""
    match = _TEXT.fullmatch(text)
    activation = match and (match["activation"] or "linear")
    named = match and match["activation"] is not None
    if (
        not match
        or not (match["bias"] or named)
        or activation not in ACTIVATIONS[0 if not named else 1 :]
        or (match["alpha"] is not None) != (activation == "leaky_relu")
    ):
        raise ValueError(_refusal(text))
    alpha = 0.0
    if match["alpha"] is not None:
        with np.errstate(over="ignore"):
            alpha = float(np.float32(match["alpha"]))
        is_zero = not match["alpha"].strip("-0.")
        if not is_zero and not 0 < abs(alpha) < math.inf:
            raise ValueError(_refusal(text))
    return Epilogue(match["bias"] is not None, activation, alpha)


def argument(text: str) -> str:
    """The text of an epilogue, as `str` makes it, for `argparse`."""
    try:
        return str(parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _refusal(text):
    names = ", ".join(ACTIVATIONS[1:]).replace("leaky_relu", "leaky_relu(alpha)")
    return f"epilogue must be bias, one of {names}, or both with + between them, but is {text!r}"
