"""The implementations that can be asked: ours, stock TensorFlow's, and anybody's function."""

import dataclasses
import importlib
import os
import sys

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


STOCK_PATHS = (
    Path(EIGEN, STOCK, (0,)),
    Path(ONEDNN, STOCK, (1,)),
    Path(XLA, STOCK, (0, 1), everywhere=False, jit=True),
)


def paths(target=None) -> tuple[list[Path], list[str]]:
    """The paths to ask when `target` (None: our op) is judged, and the names of those judged."""
    if target == STOCK:
        return list(STOCK_PATHS), [path.name for path in STOCK_PATHS]
    name = OURS if target is None else target.partition(":")[2]
    return [Path(name, target or OURS, (0, 1)), *STOCK_PATHS], [name]


def load(target):
    """The function behind a target's name; it takes the op's arguments as keywords."""
    if target == STOCK:
        import tensorflow as tf

        return tf.raw_ops.DepthwiseConv2dNativeBackpropInput
    if target == OURS:
        from tf_dwbp import ops

        return ops.depthwise_conv2d_backprop_input
    module_name, _, attribute = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    function = importlib.import_module(module_name)
    for name in attribute.split("."):
        function = getattr(function, name)
    if not callable(function):
        raise TypeError(f"{target} is not a function")
    return function
