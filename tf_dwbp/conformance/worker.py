"""A process that asks implementations for answers. `runner` starts it, and outlives its death.

Started as `python -m tf_dwbp.conformance.worker CHANNEL [--device NAME] [--load-library PATH]...
[--arrays numpy] TARGET...`. Jobs come in and verdicts go out over the channel, which an
implementation's own input and output cannot touch. Whatever it raises is a refusal, SystemExit and
KeyboardInterrupt too. TensorFlow is imported by what uses it: not for functions of NumPy arrays.
"""

import functools
import importlib
import sys

import numpy as np

from tf_dwbp.conformance import cases, verdicts
from tf_dwbp.conformance.verdicts import Outcome, Verdict
from tf_dwbp.tools import arrays, console, operands, placement, process, reference, targets

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


def main(channel, words):
    place, names = placement.Placement.split(words)
    try:
        place.prepare()
    except placement.Unusable as error:
        channel.send(unusable=str(error))
        return
    functions = {}  # by target, then by op
    for name in names:
        try:
            if not place.without_tensorflow:
                importlib.import_module("tensorflow")
            functions[name] = targets.load(name)
        except BaseException as error:  # whatever importing somebody's module raises
            channel.send(unusable=f"{name}: {console.one_line(error)}")
            return
    channel.send(ready=True, versions=dict(v for n in names for v in targets.versions(n).items()))
    for job in channel:
        batch = [cases.Case.of_id(name) for name in job["cases"]]
        jit = job["execution"] == targets.JIT
        ask = _ask if job["execution"] == targets.EAGER else functools.partial(_ask_program, jit)
        if place.without_tensorflow and job["target"] != targets.STOCK:
            ask = _ask_with_arrays
        for answered, outcome in ask(functions[job["target"]], place, batch, channel.send):
            if place.device and job["target"] == targets.STOCK:
                outcome = _barred(functions[targets.STOCK], answered, job["execution"], outcome)
            channel.send(case=answered.id, outcome=outcome.to_json())


def _ask(functions, place, batch, send):
    """Calls the ops' functions eagerly, case by case."""
    for case in batch:
        send(begin=[case.id])
        try:
            with place.scope():
                tensors = _constants(_tensors(case))
            _litter(case, place)
            with place.recorded() as record:
                answers = _answers(functions[case.op], case, tensors)
            outcome = _judged(case, answers, record.elsewhere())
            outcome = _with_operands(outcome, case, tensors)
        except BaseException as error:  # a refusal, of whatever type
            outcome = Outcome(Verdict.REFUSES, console.one_line(error))
        yield case, outcome


def _ask_with_arrays(functions, place, batch, send):
    """The same for a function of NumPy arrays."""
    del place
    for case in batch:
        send(begin=[case.id])
        try:
            copies = {role: array.copy() for role, array in _tensors(case).items()}
            answer = arrays.call(functions[case.op], case.problem, copies)
            outcome = verdicts.judge_all([answer], case, _expectations(case))
            outcome = _with_operands(outcome, case, copies)
        except BaseException as error:
            outcome = Outcome(Verdict.REFUSES, console.one_line(error))
        yield case, outcome


def _answers(function, case, tensors):
    """The tensors that `reference.derivatives` lists: the op's result, or gradients of an order."""
    import tensorflow as tf

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


def _barred(functions, case, execution, outcome):
    """Of a refusal in a graph: barred, if it is TensorFlow's own, and no fault of the device."""
    if outcome.verdict is not Verdict.REFUSES or execution == targets.EAGER:
        return outcome

    def call():
        _answers(functions[case.op], case, _constants(_tensors(case)))

    refusal = placement.refusal_anywhere(call)
    return Outcome(Verdict.BARRED, refusal) if refusal else outcome


def _judged(case, answers, elsewhere):
    if elsewhere:  # whatever it computed, it is not the device's answer
        return Outcome(Verdict.ELSEWHERE, elsewhere)
    return verdicts.judge_all(map(operands.as_array, answers), case, _expectations(case))


def _ask_program(jit, functions, place, batch, send):
    """Makes one program of all cases, which takes half as long; if refused, one of each.

    Without AutoGraph, which takes a quarter of the time, and which an op has no use for.
    """
    import tensorflow as tf

    send(begin=[case.id for case in batch])
    with place.scope():
        inputs = [_constants(_tensors(case)) for case in batch]

    @tf.function(jit_compile=jit, autograph=False)
    def program(inputs):
        answers = []
        for number, (case, tensors) in enumerate(zip(batch, inputs, strict=True)):
            with place.scope(), tf.name_scope(placement.mark(number)):
                answers.append(_answers(functions[case.op], case, tensors))
        return answers

    for case in batch:
        _litter(case, place)
    try:
        with place.recorded() as record:
            answers = program(inputs)
    except BaseException as error:
        if len(batch) == 1:
            yield batch[0], Outcome(Verdict.REFUSES, console.one_line(error))
        else:
            for case in batch:
                yield from _ask_program(jit, functions, place, [case], send)
        return
    for number, (case, answer) in enumerate(zip(batch, answers, strict=True)):
        elsewhere = record.results_elsewhere(answer) if jit else record.elsewhere(number)
        outcome = _judged(case, answer, elsewhere)
        yield case, _with_operands(outcome, case, inputs[number])


def _with_operands(outcome, case, tensors):
    """The outcome, unless the call has written where it may only read: that is wrong."""
    change = operands.change(tensors, _tensors(case))
    return Outcome(Verdict.WRONG, change) if change else outcome


def _constants(tensors):
    import tensorflow as tf

    return {role: tf.constant(array) for role, array in tensors.items()}


def _litter(case, place):
    """Leaves NaNs where the allocator will likely put results: elements never written show.

    With all bits set a number of any type is a NaN; not every type has a kernel that fills.
    """
    import tensorflow as tf

    dtype = np.dtype(cases.DTYPES[case.dtype])
    for _, role in reference.derivatives(case.op, case.order):
        size = dtype.itemsize * int(np.prod(case.shapes[role]))
        with tf.device("CPU:0" if place.device else None):
            litter = tf.fill([size], np.uint8(255))
        if place.device:  # which may have no kernel that fills, but has memory to copy to
            array = litter.numpy().view(dtype).reshape(case.shapes[role])
            with place.scope():
                tf.identity(tf.constant(array))


if __name__ == "__main__":
    main(process.Channel(sys.argv[1]), sys.argv[2:])
