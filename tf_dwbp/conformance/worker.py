"""A process that asks implementations for answers. `runner` starts it, and outlives its death.

Started as `python -m tf_dwbp.conformance.worker PIPE TARGET...`. Jobs come in as lines of JSON on
the standard input; every verdict goes out as a line of JSON on the file descriptor PIPE, which an
implementation's own output cannot touch.
"""

import functools
import json
import os
import sys

import numpy as np
import tensorflow as tf

from tf_dwbp import console
from tf_dwbp.conformance import cases, targets, verdicts
from tf_dwbp.conformance.verdicts import Outcome, Verdict

_CASES = {case.id: case for case in cases.CASES}
_expectation = functools.lru_cache(maxsize=64)(verdicts.expectation)


def main(pipe, names):
    def send(**message):
        os.write(pipe, (json.dumps(message) + "\n").encode())

    functions = {}
    for name in names:
        try:
            functions[name] = targets.load(name)
        except Exception as error:  # whatever importing somebody's module raises
            send(unusable=name, message=console.one_line(error))
            return
    send(ready=True)
    for line in sys.stdin:
        job = json.loads(line)
        batch = [_CASES[name] for name in job["cases"]]
        ask = _ask_jit if job["jit"] else _ask
        for answered, outcome in ask(functions[job["target"]], batch, send):
            send(case=answered.id, outcome=outcome.to_json())


def _ask(function, batch, send):
    """Calls the function eagerly, case by case."""
    for case in batch:
        send(begin=[case.id])
        try:
            arguments = _arguments(case)
            _litter(case)
            answer = function(**arguments)
            outcome = verdicts.judge(_array(answer), case, _expectation(case))
        except Exception as error:  # a refusal, of whatever type
            outcome = Outcome(Verdict.REFUSES, console.one_line(error))
        yield case, outcome


def _ask_jit(function, batch, send):
    """Compiles one program for all cases, which takes half as long; if refused, one for each."""
    send(begin=[case.id for case in batch])
    arguments = [_arguments(case) for case in batch]

    @tf.function(jit_compile=True)
    def program(tensors):
        return [
            function(**case_arguments | case_tensors)
            for case_arguments, case_tensors in zip(arguments, tensors, strict=True)
        ]

    try:
        answers = program(
            [{name: x[name] for name in ("filter", "out_backprop")} for x in arguments]
        )
    except Exception as error:
        if len(batch) == 1:
            yield batch[0], Outcome(Verdict.REFUSES, console.one_line(error))
        else:
            for case in batch:
                yield from _ask_jit(function, [case], send)
        return
    for case, answer in zip(batch, answers, strict=True):
        yield case, verdicts.judge(_array(answer), case, _expectation(case))


def _arguments(case):
    filter, out_backprop = case.inputs()
    return {
        "input_sizes": np.array(case.input_sizes, np.int32),
        "filter": tf.constant(filter),
        "out_backprop": tf.constant(out_backprop),
        **case.attributes,
    }


def _array(answer):
    return answer.numpy() if isinstance(answer, tf.Tensor) else np.asarray(answer)


def _litter(case):
    """Leaves NaNs where the allocator will likely put the result: elements never written show."""
    tf.fill(case.input_sizes, tf.constant(np.nan, cases.DTYPES[case.dtype]))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
