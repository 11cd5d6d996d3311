"""One right implementation of the three ops, open at every step, of which the wrong ones are made.

An exhibit is a function of a `Call`: it changes what it gets wrong and returns nothing, so that the
call is computed then, or returns an answer of its own.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from tf_dwbp.tools import reference

# How an exhibit is found: by cells of the quick cut, or by calls that the fuzz draws.
CONFORMANCE, FUZZ = "conformance", "fuzz"
DETERMINISTIC, FUZZ_INVALID = "fuzz --deterministic", "fuzz --invalid"

ATTRIBUTES = ("strides", "padding", "explicit_paddings", "data_format", "dilations")


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A wrong function, and all that is to be known of it."""

    module: str
    name: str
    op: str
    report: str  # such as tensorflow/tensorflow#56498
    what: str  # was wrong, in a sentence
    function: Callable
    found: str = CONFORMANCE
    order: int = 0  # of the gradient that is wrong
    fatal: bool = False  # to the process that calls it

    @property
    def id(self) -> str:
        return f"{self.module}:{self.name}"

    @property
    def target(self) -> str:
        """What `--target` takes."""
        return f"wrong.{self.id}"


EXHIBITS: list[Exhibit] = []  # of the modules that have been imported


def exhibit(op: str, **how) -> Callable:
    """Makes a function of a `Call` one with an op's signature, and puts it on the list.

    What gets gradients wrong, or calls that are not valid, is given the arguments as they are.
    """
    as_given = how.get("order") or how.get("found") == FUZZ_INVALID

    def decorate(function):
        @functools.wraps(function)
        def wrong(**arguments):
            if as_given:
                return function(arguments)
            call = Call(op, **arguments)
            answer = function(call)
            return call.result() if answer is None else answer

        report, _, what = " ".join(function.__doc__.split()).partition(": ")
        module = function.__module__.rpartition(".")[2]
        EXHIBITS.append(Exhibit(module, function.__name__, op, report, what, wrong, **how))
        return wrong

    return decorate


class Call:
    """A call of an op, in one form for all ops and layouts.

    Attributes:
      op: forward, input_grad or filter_grad.
      role: what is computed: output, input or filter.
      dtype: of operands and result.
      accumulator: in which products and sums are computed.
      padding, layout: as given.
      rows, columns: sizes, strides, dilations and padding along an axis, as `reference.Axis`.
      arrays: the operands by role: NHWC, and HWCM; the output's depth is two dimensions, C and M.
      shapes: of the arrays in all roles.
    """

    def __init__(self, op, **arguments):
        self.op, self.role = op, reference.RESULTS[op]
        attributes = {name: arguments[name] for name in ATTRIBUTES}
        self.padding, self.layout = attributes["padding"], attributes["data_format"]
        given = {
            role: np.asarray(arguments[name])
            for role, name in (("input", "input"), ("filter", "filter"), ("output", "out_backprop"))
            if name in arguments
        }
        self.dtype = next(iter(given.values())).dtype
        self.accumulator = np.dtype(np.float64)
        sizes = {
            role: given[role].shape if role in given else np.asarray(arguments[f"{role}_sizes"])
            for role in ("input", "filter")
        }
        self.rows, self.columns = reference.axes(sizes["input"], sizes["filter"], **attributes)
        batch, (*taps, channels, multiplier) = int(sizes["input"][0]), map(int, sizes["filter"])
        self.shapes = {
            "input": (batch, self.rows.size, self.columns.size, channels),
            "filter": (*taps, channels, multiplier),
            "output": (batch, self.rows.outputs, self.columns.outputs, channels, multiplier),
        }
        self.arrays = {
            role: self._nhwc(role, array).reshape(self.shapes[role])
            for role, array in given.items()
        }

    @property
    def multiplier(self) -> int:
        return self.shapes["filter"][3]

    @property
    def channels(self) -> int:
        return self.shapes["filter"][2]

    @property
    def both(self) -> tuple[reference.Axis, reference.Axis]:
        return self.rows, self.columns

    def sums(self) -> np.ndarray:
        """The result, in the accumulator's type, in the form of `arrays`."""
        arrays = {role: array.astype(self.accumulator) for role, array in self.arrays.items()}
        arrays[self.role] = np.zeros(self.shapes[self.role], self.accumulator)
        with np.errstate(all="ignore"):
            reference.add_products(self.role, arrays, self.rows, self.columns)
        return arrays[self.role]

    def result(self, sums: np.ndarray | None = None) -> np.ndarray:
        """The answer: these sums, or those of `sums`, in the op's type and layout."""
        sums = self.sums() if sums is None else sums
        if sums.ndim == 5:
            sums = sums.reshape(*sums.shape[:3], -1 if sums.size else sums.shape[3] * sums.shape[4])
        with np.errstate(all="ignore"):
            answer = sums.astype(self.dtype)
        to_nchw = self.layout == "NCHW" and self.role != "filter"
        return answer.transpose(0, 3, 1, 2) if to_nchw else answer

    def _nhwc(self, role, array):
        return array.transpose(0, 2, 3, 1) if self.layout == "NCHW" and role != "filter" else array
