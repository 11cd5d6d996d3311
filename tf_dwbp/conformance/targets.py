"""The implementations that can be asked: ours, stock TensorFlow's, and anybody's function."""

import dataclasses
import importlib
import os
import sys

from tf_dwbp import family
from tf_dwbp.conformance import cases

OURS, STOCK = "ours", "stock"
EIGEN, ONEDNN, XLA = "stock Eigen", "stock oneDNN", "stock XLA"

# TensorFlow reads its oneDNN switch while loading: two processes show both CPU paths.
ENVIRONMENTS = ({"TF_ENABLE_ONEDNN_OPTS": "0"}, {"TF_ENABLE_ONEDNN_OPTS": "1"})


@dataclasses.dataclass(frozen=True)
class Path:
    """One way to an answer."""

    name: str
    target: str  # what `load` takes
    environments: tuple[int, ...]  # where it runs
    everywhere: bool = True  # in all of these, or in whichever is free
    jit: bool = False
    orders: tuple[int, ...] = (0,)  # of differentiation: what it is asked for


STOCK_PATHS = (
    Path(EIGEN, STOCK, (0,)),
    Path(ONEDNN, STOCK, (1,)),
    Path(XLA, STOCK, (0, 1), everywhere=False, jit=True),
)


def paths(target=None, stock=True) -> tuple[list[Path], list[str]]:
    """The paths to ask when `target` (None: our ops) is judged, and the names of those judged.

    Only what is judged is asked for gradients, and not by way of XLA. Without `stock`, nothing else
    is asked.
    """
    if target == STOCK:
        eager = [
            dataclasses.replace(path, orders=cases.ORDERS) for path in STOCK_PATHS if not path.jit
        ]
        jit = [path for path in STOCK_PATHS if path.jit]
        return [*eager, *jit], [path.name for path in STOCK_PATHS]
    name = OURS if target is None else target.partition(":")[2]
    asked = Path(name, target or OURS, (0, 1), orders=cases.ORDERS)
    return [asked, *(STOCK_PATHS if stock else ())], [name]


def load(target):
    """The functions behind a target's name, by op; each takes its op's arguments as keywords."""
    if target == STOCK:
        import tensorflow as tf

        return {op: getattr(tf.raw_ops, names.stock) for op, names in family.OPS.items()}
    if target == OURS:
        from tf_dwbp import ops

        return {op: getattr(ops, names.function) for op, names in family.OPS.items()}
    module_name, _, attribute = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    function = importlib.import_module(module_name)
    for name in attribute.split("."):
        function = getattr(function, name)
    if not callable(function):
        raise TypeError(f"{target} is not a function")
    return dict.fromkeys(cases.OPS, function)  # its cases are of one op
