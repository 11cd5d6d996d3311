"""A process that asks implementations for answers. `runner` starts it, and outlives its death.

Started as `python -m tf_dwbp.conformance.worker CHANNEL TARGET...`. Jobs come in and verdicts go
out over the channel, which an implementation's own input and output cannot touch. Whatever it
raises is a refusal, SystemExit and KeyboardInterrupt too.
"""

import functools
import sys

import numpy as np
import tensorflow as tf

from tf_dwbp.conformance import cases, verdicts
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools import console, operands, process, reference, targets

# What paths that are asked for the same cases one after the other need: a job's, or a large one's.
_small_tensors, _large_tensors = (
    functools.lru_cache(maxsize=size)(cases.Case.tensors) for size in (64, 1)
)
_small_expectations, _large_expectations = (
    functools.lru_cache(maxsize=size)(verdicts.expectations) for size in (64, 1)
)


def _tensors(case):
    return (_large_tensors if case.is_large else _small_tensors)(case)


def _expectations(case):
    return (_large_expectations if case.is_large else _small_expectations)(case)


def main(channel, names):
    functions = {}  # by target, then by op
    for name in names:
        try:
            functions[name] = targets.load(name)
        except BaseException as error:  # whatever importing somebody's module raises
            channel.send(unusable=name, message=console.one_line(error))
            return
    channel.send(ready=True)
    for job in channel:
        batch = [cases.Case.of_id(name) for name in job["cases"]]
        jit = job["execution"] == targets.JIT
        ask = _ask if job["execution"] == targets.EAGER else functools.partial(_ask_program, jit)
        for answered, outcome in ask(functions[job["target"]], batch, channel.send):
            channel.send(case=answered.id, outcome=outcome.to_json())


def _ask(functions, batch, send):
    """Calls the ops' functions eagerly, case by case."""
    for case in batch:
        send(begin=[case.id])
        try:
            tensors = _constants(_tensors(case))
            _litter(case)
            answers = _answers(functions[case.op], case, tensors)
            outcome = verdicts.judge_all(map(_array, answers), case, _expectations(case))
            outcome = _with_operands(outcome, case, tensors)
        except BaseException as error:  # a refusal, of whatever type
            outcome = Outcome(Verdict.REFUSES, console.one_line(error))
        yield case, outcome


def _answers(function, case, tensors):
    """The tensors that `reference.derivatives` lists: the op's result, or gradients of an order."""
    if case.order == 0:
        return [function(**case.arguments(tensors))]
    pairs = reference.derivatives(case.op, case.order)
    roles = reference.operands(case.op)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(tensors)
        with tf.GradientTape() as inner:
            inner.watch([tensors[role] for role in roles])
            result = function(**case.arguments(tensors))
        weights = tensors[reference.RESULTS[case.op]]
        first = inner.gradient(result, {role: tensors[role] for role in roles}, weights)
    if case.order == 1:
        return [_connected(first[role]) for _, role in pairs]
    directions = _constants(case.directions())
    return [
        _connected(outer.gradient(_connected(first[varied]), tensors[role], directions[varied]))
        for varied, role in pairs
    ]


def _connected(gradient):
    if gradient is None:
        raise TypeError("there is no gradient")
    return gradient


def _ask_program(jit, functions, batch, send):
    """Makes one program of all cases, which takes half as long; if refused, one of each.

    Without AutoGraph, which takes a quarter of the time, and which an op has no use for.
    """
    send(begin=[case.id for case in batch])
    inputs = [_constants(_tensors(case)) for case in batch]

    @tf.function(jit_compile=jit, autograph=False)
    def program(inputs):
        return [
            _answers(functions[case.op], case, tensors)
            for case, tensors in zip(batch, inputs, strict=True)
        ]

    for case in batch:
        _litter(case)
    try:
        answers = program(inputs)
    except BaseException as error:
        if len(batch) == 1:
            yield batch[0], Outcome(Verdict.REFUSES, console.one_line(error))
        else:
            for case in batch:
                yield from _ask_program(jit, functions, [case], send)
        return
    for case, answer, tensors in zip(batch, answers, inputs, strict=True):
        outcome = verdicts.judge_all(map(_array, answer), case, _expectations(case))
        yield case, _with_operands(outcome, case, tensors)


def _with_operands(outcome, case, tensors):
    """The outcome, unless the call has written where it may only read: that is wrong."""
    change = operands.change(tensors, _tensors(case))
    return Outcome(Verdict.WRONG, change) if change else outcome


def _constants(arrays):
    return {role: tf.constant(array) for role, array in arrays.items()}


def _array(answer):
    return answer.numpy() if isinstance(answer, tf.Tensor) else np.asarray(answer)


def _litter(case):
    """Leaves NaNs where the allocator will likely put results: elements never written show.

    With all bits set a number of any type is a NaN; not every type has a kernel that fills.
    """
    size = cases.DTYPES[case.dtype].itemsize
    for _, role in reference.derivatives(case.op, case.order):
        tf.fill([size * int(np.prod(case.shapes[role]))], np.uint8(255))


if __name__ == "__main__":
    main(process.Channel(sys.argv[1]), sys.argv[2:])
