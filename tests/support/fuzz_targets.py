"""Functions with an op's signature, each with a fault of its own, which the fuzz has to find."""

import os
import time

import numpy as np

from tf_dwbp.tools import reference

# The sizes from which on the faults show.
ROWS, CHANNELS = 3, 2


def right(input_sizes, filter, out_backprop, **attributes):  # noqa: A002
    """The input gradient. Raises ValueError for what is not valid, in words of its own."""
    _check(input_sizes, filter, out_backprop, attributes)
    filter, out_backprop = np.asarray(filter), np.asarray(out_backprop)  # noqa: A001
    result = reference.input_grad(input_sizes, filter, out_backprop, **attributes)
    with np.errstate(all="ignore"):
        return result.astype(filter.dtype)


def wrong(**arguments):
    """Wrong in one element, where there are rows and channels enough."""
    result = right(**arguments)
    if _large(arguments) and result.size:
        result[(0,) * 4] += 1
    return result


def negative_zeros(**arguments):
    """Where a sum is zero, it is -0."""
    result = right(**arguments)
    return np.where(result == 0, -result, result)


def restless(calls=[], **arguments):  # noqa: B006
    """Not the same in every call."""
    result = right(**arguments)
    calls.append(None)
    finite = np.isfinite(result) & (result != 0)
    return np.where(finite & (len(calls) % 2 == 1), np.nextafter(result, 0), result)


def deadly(**arguments):
    """Dies, where there are rows and channels enough."""
    if _large(arguments):
        os.abort()
    return right(**arguments)


def hanging(**arguments):
    """Never returns, where there are rows and channels enough."""
    if _large(arguments):
        time.sleep(3600)
    return right(**arguments)


def refusing(**arguments):
    """Takes no dilation."""
    if max(arguments["dilations"]) > 1:
        raise NotImplementedError("dilations")
    return right(**arguments)


def accepting(**arguments):
    """Takes whatever strides it is given."""
    arguments["strides"] = [1 if n < 1 else n for n in (*arguments["strides"], 1, 1, 1, 1)[:4]]
    return right(**arguments)


def mumbling(**arguments):
    """Refuses without a reason."""
    try:
        return right(**arguments)
    except ValueError:
        raise ValueError("bad arguments") from None


def _large(arguments):
    sizes = arguments["input_sizes"]
    rows = sizes[arguments["data_format"].index("H")]
    return rows >= ROWS and np.shape(arguments["filter"])[2] >= CHANNELS


def _check(input_sizes, filter, out_backprop, attributes):  # noqa: A002
    """By the fuzz's own rules, so that they meet in the tests what obeys them."""
    from tf_dwbp.fuzz import checks
    from tf_dwbp.tools.problem import DTYPES

    names = {dtype: name for name, dtype in DTYPES.items()}

    def described(tensor):
        dtype = np.dtype(getattr(tensor.dtype, "as_numpy_dtype", tensor.dtype))
        return checks.Tensor(names.get(dtype, str(dtype)), tuple(tensor.shape))

    sizes = input_sizes
    if hasattr(sizes, "dtype"):
        array = np.asarray(sizes)
        sizes = array.tolist() if array.dtype == np.int32 else checks.Tensor(str(array.dtype), (4,))
    tensors = {"filter": described(filter), "out_backprop": described(out_backprop)}
    found = checks.faults("input_grad", {"input_sizes": sizes, **tensors, **attributes})
    for fault in found:
        import tensorflow as tf

        text = f"{fault.names[0]} is wrong: {fault.values[0]}"
        raise (
            tf.errors.ResourceExhaustedError(None, None, text)
            if fault.of_memory
            else ValueError(text)
        )
