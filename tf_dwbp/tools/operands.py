"""What a call takes and gives: as arrays, and what it must leave alone."""

import numpy as np


def as_array(answer) -> np.ndarray:
    """An answer, TensorFlow's or anything that NumPy takes, as an array."""
    if isinstance(answer, np.ndarray):
        return answer
    import tensorflow as tf

    return answer.numpy() if isinstance(answer, tf.Tensor) else np.asarray(answer)


def change(tensors: dict, arrays: dict[str, np.ndarray]) -> str:
    """What a call has done to its operands; empty if they hold what they did before.

    Args:
      tensors: the operands by role, TensorFlow's or anything that NumPy takes.
      arrays: what they were made of.
    """
    for role, tensor in tensors.items():
        now, before = np.asarray(tensor), arrays[role]
        if now.shape != before.shape or not np.array_equal(_bytes(now), _bytes(before)):
            return f"the call changed its operand {role!r}"
    return ""


def _bytes(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
