"""The implementations that can be asked: ours, stock TensorFlow's, and anybody's function."""

import dataclasses
import importlib
import os
import sys

from tf_dwbp import family
from tf_dwbp.conformance import cases

OURS, STOCK = "ours", "stock"
EIGEN, ONEDNN, XLA = "stock Eigen", "stock oneDNN", "stock XLA"

# How a function can be called: as it stands, or from a program of several calls that TensorFlow
# runs, or that XLA compiles.
EAGER, FUNCTION, JIT = EXECUTIONS = ("eager", "function", "jit")

# TensorFlow reads its oneDNN switch while loading: two processes show both CPU paths.
ENVIRONMENTS = ({"TF_ENABLE_ONEDNN_OPTS": "0"}, {"TF_ENABLE_ONEDNN_OPTS": "1"})


@dataclasses.dataclass(frozen=True)
class Path:
    """One way to an answer."""

    name: str
    target: str  # what `load` takes
    environments: tuple[int, ...]  # where it runs
    everywhere: bool = True  # in all of these, or in whichever is free
    execution: str = EAGER
    orders: tuple[int, ...] = (0,)  # of differentiation: what it is asked for
    large: bool = False  # whether it is asked for cases of real size
    lane: str | None = None  # what it is a part of, which its name begins with

    def is_asked(self, case: cases.Case) -> bool:
        """Whether it is asked for a case."""
        return case.order in self.orders and (self.large or not case.is_large)

    @property
    def is_slow(self) -> bool:
        """Whether XLA makes code for every call, instead of calling ours."""
        return self.target == STOCK and self.execution == JIT


STOCK_PATHS = (
    Path(EIGEN, STOCK, (0,)),
    Path(ONEDNN, STOCK, (1,)),
    Path(XLA, STOCK, (0, 1), everywhere=False, execution=JIT),
)


def paths(target=None, stock=True, executions=(EAGER,)) -> tuple[list[Path], list[str]]:
    """The paths to ask when `target` (None: our ops) is judged, and the names of those judged.

    Only what is judged is asked for gradients and for cases of real size, stock not by way of XLA.
    Without `stock`, nothing else is asked. Stock has paths of its own instead of `executions`.
    """
    if target == STOCK:
        asked = [
            path if path.is_slow else dataclasses.replace(path, orders=cases.ORDERS, large=True)
            for path in STOCK_PATHS
        ]
        return asked, [path.name for path in asked]
    name = OURS if target is None else target.partition(":")[2]
    judged = [
        Path(
            f"{name} {execution}",
            target or OURS,
            (0, 1),
            everywhere=execution == EAGER,  # whose bits the others must have
            execution=execution,
            orders=cases.ORDERS,
            large=True,
            lane=name,
        )
        for execution in executions
    ]
    return [*judged, *(STOCK_PATHS if stock else ())], [path.name for path in judged]


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
