"""One of those that are compared."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable

import numpy as np

from tf_dwbp.bench.call import Call


class Refused(Exception):
    """A peer cannot compute this call; the message says why."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to compute a call."""

    run: Callable[[], list]  # the results of the call's steps
    # Makes arrays, in the call's layout, out of what `run` returns.
    to_arrays: Callable[[list], list[np.ndarray]] = lambda results: [*map(np.asarray, results)]
    calls: int = 1  # that `run` makes, one after the other

    @classmethod
    def of(cls, functions: Iterable[Callable[[], object]]) -> "Contender":
        """Calls one function for each step."""
        first, *rest = functions
        if not rest:
            return cls(lambda: [first()])
        (second,) = rest
        return cls(lambda: [first(), second()])


Prepare = Callable[..., Contender]  # of a Call, a number of threads and what else it takes


def with_copies(prepare: Prepare) -> Prepare:
    """Prepares cold calls, too: all their copies, which then take turns."""

    @functools.wraps(prepare)
    def prepare_all(call: Call, *arguments, **options):
        if not call.cold:
            return prepare(call, *arguments, **options)
        return _in_turn([prepare(copy, *arguments, **options) for copy in call.copies])

    return prepare_all


def _in_turn(contenders):
    """The results of each stay in memory until its next turn."""
    kept = [None] * len(contenders)
    numbers = itertools.cycle(range(len(contenders)))
    latest = 0

    def run():
        nonlocal latest
        latest = next(numbers)
        kept[latest] = contenders[latest].run()
        return kept[latest]

    return Contender(run, lambda results: contenders[latest].to_arrays(results))
