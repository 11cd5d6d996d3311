"""The op library's C functions: what is known of its implementations, without calling an op.

The library must have been loaded (`_library.load`), and with it TensorFlow, which it links.
"""

import ctypes
import functools
import itertools
import pathlib

from tf_dwbp import family

LIBRARY_PATH = pathlib.Path(__file__).absolute().parent / "_tf_dwbp.so"

EXPLAINED, NOT_FORCED, NO_PROBLEM = range(3)


@functools.cache
def _functions():
    library = ctypes.CDLL(str(LIBRARY_PATH))
    library.tf_dwbp_path_name.restype = ctypes.c_char_p
    library.tf_dwbp_path_name.argtypes = [ctypes.c_int]
    library.tf_dwbp_path_count.restype = ctypes.c_int64
    library.tf_dwbp_path_count.argtypes = [ctypes.c_int]
    library.tf_dwbp_implementation_name.restype = ctypes.c_char_p
    library.tf_dwbp_implementation_name.argtypes = [ctypes.c_int, ctypes.c_int]
    library.tf_dwbp_explain.restype = ctypes.c_int64
    library.tf_dwbp_explain.argtypes = [
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.POINTER(ctypes.c_int),
    ]
    return library


def _names(name_of, *arguments):
    names = (name_of(*arguments, i) for i in itertools.count())
    return tuple(name.decode() for name in itertools.takewhile(lambda name: name, names))


@functools.cache
def implementations() -> dict[str, tuple[str, ...]]:
    """The names of each op's implementations on the CPU, in the order in which they are tried."""
    name_of = _functions().tf_dwbp_implementation_name
    return {op: _names(name_of, number) for number, op in enumerate(family.OPS)}


def path_counts() -> dict[str, int]:
    """How many calls of this process have taken each way through the kernels."""
    functions = _functions()
    names = _names(functions.tf_dwbp_path_name)
    return {name: functions.tf_dwbp_path_count(i) for i, name in enumerate(names)}


def explain(problem: str, workers: int) -> tuple[int, str]:
    """How a problem would be computed, by the same code that computes it.

    Args:
      problem: its text.
      workers: how many threads there are.

    Returns:
      A status and a text. EXPLAINED, NOT_FORCED (the implementation that TF_DWBP_IMPL names does
      not compute it): lines of "name: value". NO_PROBLEM: what is wrong with the problem's text.

    Raises:
      MemoryError: there is none for the text.
    """
    status = ctypes.c_int()
    size = 4096
    while True:
        buffer = ctypes.create_string_buffer(size)
        encoded = problem.encode("utf-8", "backslashreplace")
        needed = _functions().tf_dwbp_explain(encoded, workers, buffer, size, ctypes.byref(status))
        if needed < 0:
            raise MemoryError
        if needed < size:
            return status.value, buffer.value.decode()
        size = needed + 1
