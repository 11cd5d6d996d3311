"""The list of all exhibits, and the search for the first call that shows what is wrong with one."""

import dataclasses
import faulthandler
import functools
import importlib
import os
import signal
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tf_dwbp.conformance import cases, verdicts, worker
from tf_dwbp.conformance.verdicts import Verdict
from tf_dwbp.fuzz import draw, invalid, invalid_call, judge, metamorphic
from tf_dwbp.fuzz.case import INTEGERS
from tf_dwbp.fuzz.case import Case as Drawn
from tf_dwbp.tools import console
from wrong.call import CONFORMANCE, EXHIBITS, FUZZ_INVALID, Exhibit

for _module in (
    "padding",
    "strides",
    "dilations",
    "channels",
    "layout",
    "numbers",
    "sizes",
    "order",
    "gradients",
):
    importlib.import_module(f"wrong.{_module}")

ALL: tuple[Exhibit, ...] = tuple(EXHIBITS)

# Of the fuzz: the same calls every time, more than any exhibit needs.
FUZZ_SEED, FUZZ_CASES = 1, 400


@dataclasses.dataclass(frozen=True)
class Found:
    """The first call that shows that a function is wrong."""

    number: int  # of the call, from 1 on
    call: str  # that `--case` takes
    verdict: str
    evidence: str
    case: cases.Case | Drawn = dataclasses.field(repr=False)


def find(
    function: Callable,
    op: str,
    found: str = CONFORMANCE,
    order: int = 0,
    fatal: bool = False,
    most: int = FUZZ_CASES,
) -> Found | None:
    """The first call that shows a function of an op to be wrong; None if none does.

    The calls are those of `tf-dwbp conformance --quick`, or of `tf-dwbp fuzz --seed 1`, one after
    the other in this process, and judged by the same functions.

    Args:
      function: with the op's signature.
      op: the op's name.
      found: what is to find it, as `wrong.call` names it.
      order: of the gradients that are judged, by cells.
      fatal: whether the function may end the process: each call is tried in a fork, then.
      most: calls of the fuzz.
    """
    if found == CONFORMANCE:
        calls = _cells(function, op, order, fatal)
    elif found == FUZZ_INVALID:
        calls = _broken_calls(function, op, most)
    else:
        calls = _drawn(function, op, most)
    for number, (case, verdict, evidence) in enumerate(calls, 1):
        if verdict:
            return Found(number, str(case.problem), verdict, evidence, case)
    return None


@functools.lru_cache(maxsize=2000)
def _expectations(case):
    return verdicts.expectations(case)


def _cells(function, op, order, fatal) -> Iterator[tuple[cases.Case, str, str]]:
    """The quick cut's cells, each with the verdict if it is a failure."""
    for case in cases.select(quick=True, ops=[op], orders=[order]):
        if fatal and (how := _death(function, case.arguments())):
            yield case, Verdict.DIES.value, how
            continue
        outcome = outcome_of(function, case)
        failed = outcome.verdict is not Verdict.AGREES
        yield case, outcome.verdict.value if failed else "", outcome.evidence


def outcome_of(function: Callable, case: cases.Case) -> verdicts.Outcome:
    """The verdict on a function's answer to one cell."""
    tensors = case.tensors()
    if case.order:
        tensors = {role: tf.constant(array) for role, array in tensors.items()}
    try:
        answers = [np.asarray(answer) for answer in worker._answers(function, case, tensors)]
    except Exception as error:
        return verdicts.Outcome(Verdict.REFUSES, console.one_line(error))
    return verdicts.judge_all(answers, case, _expectations(case))


def _drawn(function, op, most):
    """The fuzz's calls."""
    for number in range(most):
        case = draw.case(FUZZ_SEED, number, draw.Filters(ops=(op,)))
        yield case, *fault_of(function, case)


def fault_of(function: Callable, case: Drawn) -> tuple[str, str]:
    """What the fuzz finds wrong, the call made twice and all its relations checked."""
    arrays = case.tensors()

    def call(problem, arrays):
        return np.asarray(function(**problem.arguments(arrays)))

    answer = call(case.problem, arrays)
    if fault := judge.expected(case, arrays).fault(answer):
        return "wrong", fault
    if judge.digest(call(case.problem, arrays)) != judge.digest(answer):
        return "differs", "not the bits of the call before"
    for relation in metamorphic.relations(case, arrays, several=False):
        if broken := relation.fault(answer, call):
            return "inconsistent", f"{relation.name}: {broken}"
    return "", ""


def _broken_calls(function, op, most):
    """The calls of `fuzz --invalid`, of which only death is looked for."""
    for number in range(most):
        random = np.random.default_rng([FUZZ_SEED, number])
        problem = draw.small_problem(random, draw.Filters(ops=(op,)))
        changes = invalid.changes(random, problem)
        case = Drawn(problem, INTEGERS, int(random.integers(2**31)))
        arguments = invalid_call._made(case, invalid.arguments_of(problem, changes))
        how = _death(function, arguments)
        changed = ", ".join(f"{name}={value}" for name, value in changes.items())
        yield case, "dies" if how else "", how and f"{how}, by {changed}"


def _death(function, arguments):
    """The signal that ends a process which makes a call; empty if it goes on."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # pytest's, which would print a trace of what is expected
        try:
            function(**arguments)
        finally:
            os._exit(0)  # an error, too, is no death
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
