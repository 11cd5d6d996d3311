"""What in the op library swaps: TensorFlow asks it about each graph and each eager call.

It is told there what to do, and keeps there what it did: this module may be imported more than once
in a process. With no op asked for it changes nothing.
"""

import contextlib
import ctypes
import functools
import re
from typing import NamedTuple

from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import ops as framework_ops

from tf_dwbp import _library, family

# The bit after those of the ops. The library keeps it for `tf_dwbp.swap.batch_norm`.
_BATCH_NORM = 1 << len(family.OPS)


class Record(NamedTuple):
    """What became of one depthwise op of a graph that TensorFlow runs, or of eager calls."""

    graph: str  # name of the function, or "eager calls"
    node: str  # the op's name there
    traced_function: str  # where it was inlined from; "" where it was not
    traced_node: str  # its name there
    stock: str  # stock's name of the op; "" for a graph that runs without any
    device: str
    by: str  # "ours" or "stock"
    why: str
    count: int


class Registration(NamedTuple):
    """What TensorFlow was told, and when."""

    uid: int  # TensorFlow's names of functions end in numbers that grow: the last one before


@functools.cache
def register() -> Registration:
    """Has TensorFlow ask the library from now on."""
    functions = _functions()
    uid = functions.tf_dwbp_swap_record(framework_ops.uid())
    for gpu in (0, 1):  # graphs that are on CPUs, or as a whole on GPUs
        if functions.tf_dwbp_swap_prepare(gpu) == 0:
            # Not load_pluggable_device_library, which lists devices anew: there are no new ones.
            pywrap_tf_session.TF_LoadPluggableDeviceLibrary(str(_library.LIBRARY_PATH))
    if _library.build_info().get("xla"):
        with contextlib.suppress(OSError):  # of which the import has warned
            ctypes.CDLL(str(_library.XLA_LIBRARY_PATH)).tf_dwbp_swap_register_compiled()
    return Registration(uid)


def select(change: str, ops: frozenset[str] = frozenset(), batch_norm: bool = False) -> bool:
    """Changes which ops, keys of `family.OPS`, are swapped.

    Args:
      change: "install" or "enter" asks for the ops; "uninstall" takes back the latest "install",
        and "leave" an "enter" with the same arguments.
      ops: the ops.
      batch_norm: whether BatchNormalization is asked for as well.

    Returns:
      False when there is no "install" to take back.
    """
    function = getattr(_functions(), f"tf_dwbp_swap_{change}")
    if change == "uninstall":
        return bool(function())
    bits = sum(1 << bit for bit, op in enumerate(family.OPS) if op in ops)
    function(bits | (_BATCH_NORM if batch_norm else 0))
    return True


def selected() -> frozenset[str]:
    """The ops that are swapped."""
    ops = _functions().tf_dwbp_swap_ops()
    return frozenset(op for bit, op in enumerate(family.OPS) if ops >> bit & 1)


def batch_norm_selected() -> bool:
    """Whether BatchNormalization is asked for."""
    return bool(_functions().tf_dwbp_swap_ops() & _BATCH_NORM)


def ledger() -> list[Record]:
    """What became of the ops of all that ran since `register`."""
    functions = _functions()
    text = functions.tf_dwbp_swap_ledger()
    try:
        lines = ctypes.string_at(text).decode().splitlines()
    finally:
        functions.tf_dwbp_swap_free(text)
    records = []
    for line in lines:
        graph, *fields, count = line.split("\t")
        # XLA puts constants into the functions of loops and branches, and calls these so.
        graph = re.sub(r"(_const_\d+)+$", "", graph)
        records.append(Record(graph, *fields, int(count)))
    return records


@functools.cache
def _functions():
    library = ctypes.CDLL(str(_library.LIBRARY_PATH))
    library.tf_dwbp_swap_record.argtypes = [ctypes.c_long]
    library.tf_dwbp_swap_record.restype = ctypes.c_long
    library.tf_dwbp_swap_prepare.argtypes = [ctypes.c_int]
    for name in ("install", "enter", "leave"):
        function = getattr(library, f"tf_dwbp_swap_{name}")
        function.argtypes = [ctypes.c_uint]
        function.restype = None
    library.tf_dwbp_swap_ops.restype = ctypes.c_uint
    library.tf_dwbp_swap_ledger.restype = ctypes.c_void_p
    library.tf_dwbp_swap_free.argtypes = [ctypes.c_void_p]
    library.tf_dwbp_swap_free.restype = None
    return library
