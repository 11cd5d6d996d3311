"""How a worker calls what it tests: at any address, in three executions, anybody's function."""

import numpy as np

from tf_dwbp.fuzz.case import Case
from tf_dwbp.tools import placement
from tf_dwbp.tools.placement import ANYWHERE, Placement

_BOUNDARY = 64  # bytes, on which TensorFlow's own tensors begin


def array_at(array: np.ndarray, offset: int) -> np.ndarray:
    """A copy of an array that begins so many elements behind a boundary."""
    beside = offset * array.itemsize
    raw = np.empty(_BOUNDARY + beside + array.nbytes, np.uint8)
    start = -raw.ctypes.data % _BOUNDARY + beside
    placed = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    placed[...] = array
    return placed


def tensor_at(array: np.ndarray, offset: int):
    """The same as a tensor."""
    import tensorflow as tf

    if not offset or not array.size:
        return tf.constant(array)
    own = array.dtype.isbuiltin == 1
    placed = array_at(array if own else array.view(f"u{array.itemsize}"), offset)
    tensor = tf.experimental.dlpack.from_dlpack(placed.__dlpack__())
    return tensor if own else tf.bitcast(tensor, tf.as_dtype(array.dtype))


def operands(case: Case, arrays: dict[str, np.ndarray], place: Placement = ANYWHERE) -> dict:
    """The case's tensors by role, where it wants them; arrays for a function of these."""
    made_at = array_at if place.without_tensorflow else tensor_at
    pairs = zip(case.problem.roles, (*case.offsets, case.offsets[1]), strict=False)
    return {role: made_at(arrays[role], offset) for role, offset in pairs}


def program(
    functions: dict,
    cases: list[Case],
    inputs: list[dict],
    jit: bool,
    place: Placement = ANYWHERE,
) -> list:
    """The answers of one program that makes all the calls, marked by their numbers, in a place.

    Half the cases' shapes are unknown while a `tf.function` is traced, so that sizes are fed in.
    """
    import tensorflow as tf

    inputs = [dict(tensors) for tensors in inputs]
    signature = []
    for case, tensors in zip(cases, inputs, strict=True):
        if jit or case.seed % 2 == 0:
            signature.append({k: tf.TensorSpec(t.shape, t.dtype) for k, t in tensors.items()})
            continue
        tensors["sizes"] = tf.constant(case.problem.shapes[case.problem.result], tf.int32)
        signature.append({k: tf.TensorSpec(None, t.dtype) for k, t in tensors.items()})

    @tf.function(jit_compile=jit, autograph=False, input_signature=[signature])
    def called(inputs):
        answers = []
        for number, (case, tensors) in enumerate(zip(cases, inputs, strict=True)):
            arguments = case.problem.arguments(tensors)
            if (sizes := f"{case.problem.result}_sizes") in arguments:
                arguments[sizes] = tensors.get("sizes", arguments[sizes])
            with place.scope(), tf.name_scope(placement.mark(number)):
                answers.append(functions[case.problem.op](**arguments))
        return answers

    return called(inputs)
