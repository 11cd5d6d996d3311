"""One of those that are compared."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np


class Refused(Exception):
    """A peer cannot compute this call; the message says why."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to compute a call."""

    run: Callable[[], list]  # the results of the call's steps
    # Makes arrays, in the call's layout, out of what `run` returns.
    to_arrays: Callable[[list], list[np.ndarray]] = lambda results: [*map(np.asarray, results)]

    @classmethod
    def of(cls, functions: Iterable[Callable[[], object]]) -> "Contender":
        """Calls one function for each step."""
        first, *rest = functions
        if not rest:
            return cls(lambda: [first()])
        (second,) = rest
        return cls(lambda: [first(), second()])
