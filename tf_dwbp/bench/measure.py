"""Times functions in turn, so that whatever slows the machine down slows all of them."""

import gc
import time
from collections.abc import Callable

from tf_dwbp.bench.elsewhere import Elsewhere

# Long enough for the clock and for a steady state, short enough that the machine stays the same
# from one contender's block to the other's.
BLOCK_SECONDS = 0.025

# A shape on which a contender takes seconds gets fewer rounds than asked for, but these at least.
_PATIENCE_SECONDS = 8.0
_FEWEST_ROUNDS = 3


def alternate(
    functions: dict[str, Callable[[], object]],
    rounds: int,
    lead_in: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
    patience: float = _PATIENCE_SECONDS,
) -> dict[str, list[float]]:
    """Seconds a call of each function takes: the mean over a block of calls, for each round.

    In each round every function has one block, and rounds go through the functions forwards and
    backwards in turn. A block begins with calls that do not count: one, since the caches are
    another function's, and more until `lead_in` seconds have passed. No round begins after
    `patience` seconds, but for the first few.
    """
    gc_was_on = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection would count for whom it hits
    try:
        calls = {name: _calls_for_ablock(run, clock) for name, run in functions.items()}
        found: dict[str, list[float]] = {name: [] for name in functions}
        start = clock()
        order = list(functions)
        for number in range(rounds):
            if number >= _FEWEST_ROUNDS and clock() - start > patience:
                break
            for name in order:
                found[name].append(block(functions[name], calls[name], clock, lead_in))
            order.reverse()
        return found
    finally:
        if gc_was_on:
            gc.enable()


def block(
    function: Callable[[], object],
    calls: int,
    clock: Callable[[], float] = time.perf_counter,
    lead_in: float = 0.0,
) -> float:
    """Seconds a call, the mean over so many calls, which others come before."""
    if isinstance(function, Elsewhere):
        return function.block(calls, lead_in)
    end = clock() + lead_in
    function()
    while clock() < end:
        function()
    start = clock()
    for _ in range(calls):
        function()
    return (clock() - start) / calls


def _calls_for_ablock(function, clock):
    """How many calls fill a block; at least one."""
    block(function, 1, clock)  # the first calls may prepare things
    calls = 1
    while True:
        seconds = block(function, calls, clock) * calls
        if seconds >= BLOCK_SECONDS / 4:
            return max(1, round(calls * BLOCK_SECONDS / seconds))
        calls *= 4
