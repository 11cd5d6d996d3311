"""Makes calls that are not valid, in a worker, and judges how they are refused."""

import numpy as np
import tensorflow as tf

from tf_dwbp.fuzz import checks, invalid, judge
from tf_dwbp.fuzz.case import Case
from tf_dwbp.tools import console, operands, reference, targets
from tf_dwbp.tools.problem import ARGUMENTS, DTYPES

_LONGEST = 500  # characters, of an error

ACCEPTS, UNCLEAR = "accepts", "unclear"


def answer(functions: dict, job: dict, send) -> None:
    """Makes the calls of a job, and sends for each case and execution what came of it."""
    for number, (fields, changes) in enumerate(zip(job["cases"], job["changes"], strict=True)):
        case = Case.from_json(fields)
        arguments = invalid.arguments_of(case.problem, changes)
        faults = checks.faults(case.problem.op, arguments)
        made = _made(case, arguments)
        for execution in job["executions"]:
            send(begin=[number])
            verdict, text = _outcome(functions[case.problem.op], case, made, faults, execution)
            send(case=number, execution=execution, verdict=verdict, text=text, calls=1)


def _made(case, arguments):
    """The arguments with tensors of small integers in the place of their descriptions."""
    random = np.random.default_rng(case.seed)
    made = {}
    for name, value in arguments.items():
        if isinstance(value, checks.Tensor):
            dtype = DTYPES.get(value.dtype) or np.dtype(value.dtype)
            # Of the small ones only, so that an empty tensor of any shape can be made.
            value = tf.constant(random.integers(0, 3, value.shape, np.int8).astype(dtype))
        made[name] = value
    return made


def _outcome(function, case, arguments, faults, execution):
    try:
        if execution == targets.EAGER:
            result = function(**arguments)
        else:
            result = _traced(function, case, arguments, execution == targets.JIT)
        array = operands.as_array(result)
    except BaseException as error:
        if not faults:
            return "refuses", f"it is valid, but: {console.one_line(error)}"
        return _judged(error, faults)
    if faults:
        return ACCEPTS, f"a result of shape {list(array.shape)}; wrong: {_words(faults)}"
    wrong = _expected(case, arguments).fault(array)
    return ("wrong", wrong) if wrong else ("", "")


def _traced(function, case, arguments, jit):
    tensors = {name: value for name, value in arguments.items() if isinstance(value, tf.Tensor)}
    if case.seed % 2 and not jit:
        signature = {name: tf.TensorSpec(None, tensor.dtype) for name, tensor in tensors.items()}
    else:
        signature = {name: tf.TensorSpec(t.shape, t.dtype) for name, t in tensors.items()}

    @tf.function(jit_compile=jit, autograph=False, input_signature=[signature])
    def called(tensors):
        return function(**arguments | tensors)

    return called(tensors)


def _expected(case, arguments):
    """What a call must compute that turned out to be valid."""
    op = case.problem.op
    tensors = {role: arguments[ARGUMENTS[role]].numpy() for role in reference.operands(op)}
    sizes = {role: np.shape(tensor) for role, tensor in tensors.items()}
    if (result := reference.RESULTS[op]) != "output":
        sizes[result] = arguments[f"{result}_sizes"]
    attributes = {name: arguments[name] for name in case.problem.attributes}
    dtype = next(iter(tensors.values())).dtype
    if min(tensor.size for tensor in tensors.values()) == 0:  # however many taps there are
        shape = sizes.get(result) or reference.out_backprop_shape(
            sizes["input"], sizes["filter"], **attributes
        )
        return judge.Expected(dtype, np.zeros(shape, dtype), None)
    value = reference.member(result, tensors, sizes["input"], sizes["filter"], **attributes)
    return judge.Expected(dtype, np.ascontiguousarray(value.astype(dtype)), None)


def _judged(error, faults):
    """Whether an error has the right class, names an argument and says its value or a right one."""
    text = _own_words(console.one_line(error))
    kinds = [ValueError, tf.errors.InvalidArgumentError]
    if any(fault.of_memory for fault in faults):
        kinds = [tf.errors.ResourceExhaustedError]
    if any(fault.of_type for fault in faults):
        kinds += [TypeError, OverflowError]
    if not isinstance(error, tuple(kinds)):
        expected = " or ".join(kind.__name__ for kind in kinds)
        return UNCLEAR, f"{text[:_LONGEST]} (expected {expected})"
    if len(text) > _LONGEST:
        return UNCLEAR, f"{text[:_LONGEST]}... ({len(text)} characters)"
    if any(_tells(text, fault) for fault in faults):
        return "", text
    return UNCLEAR, f"{text} (wrong: {_words(faults)})"


def _own_words(text):
    """Without TensorFlow's description of the op, which it appends to whatever an op says."""
    for tail in (" for '= ", " for '{{", " ; NodeDef: ", " [Op:"):
        text = text.partition(tail)[0]
    return text


def _tells(text, fault):
    if fault.of_type:  # in TensorFlow's own words, whatever they are
        return True
    return any(name in text for name in fault.names) and any(v in text for v in fault.values)


def _words(faults):
    return "; ".join(f"{' or '.join(fault.names)}: {', '.join(fault.values)}" for fault in faults)
