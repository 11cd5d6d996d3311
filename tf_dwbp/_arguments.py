"""Arguments in all the forms that `tf.nn` and `tf.raw_ops` take, as the ops want them.

What has none of these forms is refused by a ValueError that names the argument and shows a part of
its value, never a whole tensor.
"""

import functools
import operator
from numbers import Real

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.ops import EagerTensor

_MOST = 2**63 - 1
_MOST_SIZE = 2**31 - 1
_SIZES = 4  # of any tensor that the ops take or make
_MOST_INTS = 16  # no argument has more than 8; the rest is not worth a line of text
_MOST_SHOWN = 80
_MOST_OF_ERROR = 200


def ints(name, values, expected="a list of ints", most=_MOST):
    """A list of Python's ints.

    Args:
      name: of the argument, for the error.
      values: integers of any kind (Python's, NumPy's, eager tensors) in a list, a tuple, an array,
        an eager tensor or a `tf.TensorShape`.
      expected: what it must be, for the error.
      most: how large an integer may be, with either sign.

    Raises:
      ValueError: when it is nothing of these, or when anything in it is no integer.
    """
    # A list of Python's ints: the loop costs least there. It has no `else`, since AutoGraph knows
    # none and would warn.
    plain = type(values) is list and len(values) <= _MOST_INTS
    if plain:
        for number in values:
            if type(number) is not int or not -most <= number <= most:
                plain = False
                break
    if plain:
        return values
    numbers = _list(values)
    if numbers is None or len(numbers) > _MOST_INTS:
        raise ValueError(f"{name} must be {expected}, but is {shown(values)}")
    for number in numbers:
        if not -most <= number <= most:
            raise ValueError(f"{name} must be {expected}, none past {most}, but is {shown(values)}")
    return numbers


def _are_four_sizes(values):
    """Whether it is what nearly all calls have: a list of four of Python's ints, none negative."""
    if type(values) is not list or len(values) != 4:
        return False
    first, second, third, fourth = values
    return (
        type(first) is int
        and type(second) is int
        and type(third) is int
        and type(fourth) is int
        # No larger than _MOST, one below a power of two.
        and 0 <= first | second | third | fourth <= _MOST
    )


def _list(values):
    """Integers of any kind as a list, or None."""
    if isinstance(values, (str, bytes, dict, set)):
        return None
    try:
        return [operator.index(value) for value in values]
    # Not iterable, or no integers; an eager tensor of floats has no attribute of that name.
    except (TypeError, AttributeError):
        return None


def text(name, value):
    """A string, or what TensorFlow takes for one.

    Raises:
      ValueError: when it is none.
    """
    if not isinstance(value, (str, bytes)) or len(value) > _MOST_SHOWN:
        raise ValueError(f"{name} must be a string, but is {shown(value)}")
    return value


def choice(name, value, choices):
    """One of some strings.

    Raises:
      ValueError: when it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, but is {shown(value)}")
    return value


def number(name, value):
    """A float, from a number of Python's or NumPy's.

    Raises:
      ValueError: when it is none, or larger than any float.
    """
    try:
        if isinstance(value, Real):
            return float(value)
    except OverflowError:
        pass
    raise ValueError(f"{name} must be a number, but is {shown(value)}")


def sizes(name, values):
    """The sizes of a tensor: what is a tensor as it is, anything else as int32.

    Ints are a list in a graph, whose shape function wants to know them.

    Raises:
      ValueError: when it does not convert.
    """
    if type(values) is EagerTensor:
        return values
    here = context.context()
    is_eager = here.executing_eagerly()
    # What nearly all eager calls have is looked up before it is checked.
    if is_eager and type(values) is list and len(values) == _SIZES:
        try:
            return _constant(here, *values)
        except TypeError:
            pass
    if isinstance(values, (tf.Tensor, tf.Variable)):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind not in "iu":
        raise ValueError(f"{name} must be int32, but is {shown(values)}")
    numbers = _list(values)
    if numbers is None or len(numbers) > _MOST_INTS:
        # A scalar, a matrix, too many, which the op refuses by shape; or symbolic tensors.
        return _tensor(name, values, tf.int32)
    numbers = ints(name, numbers, "int32", _MOST_SIZE)
    return _constant(here, *numbers) if numbers and is_eager else numbers


# To make a tensor of a list takes longer than to make the op's own call.
@functools.lru_cache(maxsize=1024, typed=True)
def _constant(_, *numbers):
    """The numbers as an eager tensor of this context, whose devices it belongs to.

    Raises:
      TypeError: when they are not Python's ints, as large as sizes may be. It is not kept.
    """
    for number in numbers:
        if type(number) is not int or not -_MOST_SIZE <= number <= _MOST_SIZE:
            raise TypeError
    with tf.device("CPU:0"):
        return tf.constant(numbers, tf.int32)


@functools.lru_cache(maxsize=1024, typed=True)
def usual_attributes(padding, data_format, *strides_and_dilations):
    """The attributes of a call without explicit paddings, checked once.

    Args:
      padding: a string.
      data_format: a string.
      *strides_and_dilations: 4 ints, and 4 more.

    Returns:
      strides, padding, explicit_paddings, data_format, dilations, for callers that change nothing.

    Raises:
      TypeError: when they are anything else, or cannot be looked up. It is not kept.
    """
    strides, dilations = [*strides_and_dilations[:4]], [*strides_and_dilations[4:]]
    for numbers in (strides, dilations):
        if not _are_four_sizes(numbers):
            raise TypeError
    for string in (padding, data_format):
        if type(string) is not str or len(string) > _MOST_SHOWN:
            raise TypeError
    return strides, padding, [], data_format, dilations


def are_alike(first, second):
    """Whether both are eager tensors of one type, as nearly always outside of graphs."""
    return (
        type(first) is EagerTensor and type(second) is EagerTensor and first.dtype is second.dtype
    )


def tensors(*, arrays_adapt=False, **arguments):
    """The arguments as tensors of one type.

    Args:
      arrays_adapt: whether NumPy arrays take the type of the tensors beside them, as they do in
        `tf.raw_ops`. What has no type of its own, such as a list of numbers, always does.
      **arguments: the tensors, or what converts to tensors, by name.

    Raises:
      ValueError: when one does not convert, or when their types differ.
    """
    values = [*arguments.values()]
    are_tensors = True
    for value in values:
        are_tensors = are_tensors and isinstance(value, tf.Tensor)
    if not are_tensors:
        dtypes = _dtypes(values, arrays_adapt)
        common = next((dtype for dtype in dtypes if dtype is not None), None)
        for i, name in enumerate(arguments):
            values[i] = _tensor(name, values[i], common if dtypes[i] is None else dtypes[i])
            common = values[0].dtype if common is None else common
    dtype = values[0].dtype
    for i, value in enumerate(values):
        if value.dtype is not dtype and value.dtype.base_dtype != dtype.base_dtype:
            first, name = [*arguments][0], [*arguments][i]
            raise ValueError(
                f"{first} and {name} must be of the same type, but {first} is "
                f"{dtype.base_dtype.name} and {name} is {value.dtype.base_dtype.name}"
            )
    return values


def _dtypes(values, arrays_adapt):
    """The types that values have of their own, or None."""
    dtypes = [getattr(value, "dtype", None) for value in values]
    is_array = [isinstance(value, np.ndarray) for value in values]
    if arrays_adapt and any(
        dtype is not None and not array for dtype, array in zip(dtypes, is_array, strict=True)
    ):
        return [None if array else dtype for dtype, array in zip(dtypes, is_array, strict=True)]
    return dtypes


def _tensor(name, value, dtype):
    if value is None or isinstance(value, (tf.RaggedTensor, tf.SparseTensor, tf.TensorArray)):
        raise ValueError(f"{name} must be a tensor, but is {type(value).__name__}")
    if isinstance(value, np.ndarray):
        # Of some of these TensorFlow would make numbers.
        if value.dtype.kind in "OSUMmc" or value.dtype == np.longdouble:
            raise ValueError(f"{name} must hold real numbers, but is {shown(value)}")
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
            dtype = dtype if isinstance(dtype, tf.DType) else None
    try:
        return tf.convert_to_tensor(value, dtype, name=name)
    except (TypeError, ValueError) as error:
        wanted = "a tensor" if dtype is None else f"a tensor of {tf.as_dtype(dtype).name}"
        raise ValueError(
            f"{name} must be {wanted}, but is {shown(value)}: {_cut(str(error), _MOST_OF_ERROR)}"
        ) from error


def shown(value):
    """A value, or what can be said of it, in a few words."""
    if getattr(value, "shape", ()) != () and hasattr(value, "dtype"):
        dtype = getattr(value.dtype, "name", value.dtype)
        return f"{type(value).__name__} of shape {value.shape} and type {dtype}"
    return _cut(repr(value), _MOST_SHOWN)


def _cut(text, most):
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}..."
