"""What the forward op may do to its sums before it rounds them: add a bias, apply an activation.

Its text follows a problem's: `bias`, an activation's name, or both, such as `bias+relu6`;
`leaky_relu(0.2)` has its alpha. cc/conv/epilogue.h has the same for the library, with the
activations' formulas, and accepts and refuses the same texts.
"""

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


def _refusal(text):
    names = ", ".join(ACTIVATIONS[1:]).replace("leaky_relu", "leaky_relu(alpha)")
    return f"epilogue must be bias, one of {names}, or both with + between them, but is {text!r}"
