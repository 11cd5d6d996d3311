"""The graph optimizer in the op library: how ops in graphs are reached, with no Python patched.

TensorFlow hands every function to it when the function is instantiated, that is, called for the
first time. Once registered it stays with TensorFlow; with no op selected it changes nothing.
"""

import ctypes
import functools
from typing import NamedTuple

from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import ops as framework_ops

from tf_dwbp import _library, family


class Record(NamedTuple):
    """What became of one depthwise op of a graph that TensorFlow has instantiated."""

    graph: str  # name of the function
    node: str  # the op's name there
    traced_function: str  # where it was inlined from; "" where it was not
    traced_node: str  # its name there
    stock: str  # stock's name of the op
    device: str
    by: str  # "ours" or "stock"
    why: str


class Registration(NamedTuple):
    """How registering went."""

    error: str | None  # why graphs cannot be reached
    uid: int  # TensorFlow's names of functions end in numbers that grow: the last one before


@functools.cache
def register() -> Registration:
    """Registers the optimizer with TensorFlow, once a process."""
    uid = framework_ops.uid()
    taken = [_register(gpu) for gpu in (0, 1)]
    return Registration(
        "another plug-in optimizes TensorFlow's graphs for CPUs" if taken[0] else None, uid
    )


def _register(gpu):
    """For graphs that are on CPUs, or as a whole on GPUs; whether another plug-in is."""
    state = _functions().tf_dwbp_swap_prepare(gpu)
    if state == 0:
        # Not load_pluggable_device_library, which lists the devices anew: there are no new ones.
        pywrap_tf_session.TF_LoadPluggableDeviceLibrary(str(_library.LIBRARY_PATH))
    return state == 2


def select(ops: frozenset[str]) -> None:
    """The ops, keys of `family.OPS`, that are renamed from now on."""
    _functions().tf_dwbp_swap_set_ops(
        sum(1 << bit for bit, op in enumerate(family.OPS) if op in ops)
    )


def ledger() -> list[Record]:
    """What became of the ops of all graphs since the optimizer was registered."""
    functions = _functions()
    text = functions.tf_dwbp_swap_ledger()
    try:
        lines = ctypes.string_at(text).decode().splitlines()
    finally:
        functions.tf_dwbp_swap_free(text)
    return [Record(*line.split("\t")) for line in lines]


@functools.cache
def _functions():
    library = ctypes.CDLL(str(_library.LIBRARY_PATH))
    library.tf_dwbp_swap_prepare.argtypes = [ctypes.c_int]
    library.tf_dwbp_swap_set_ops.argtypes = [ctypes.c_uint]
    library.tf_dwbp_swap_set_ops.restype = None
    library.tf_dwbp_swap_ledger.restype = ctypes.c_void_p
    library.tf_dwbp_swap_free.argtypes = [ctypes.c_void_p]
    library.tf_dwbp_swap_free.restype = None
    return library
