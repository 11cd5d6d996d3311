"""Puts our ops in the place of stock TensorFlow's, while models that know nothing of us train.

    import tf_dwbp

    with tf_dwbp.swap.installed():
        model.fit(images, labels)

Graphs (`tf.function`, `model.fit`, SavedModels, `tf.data`, sessions) are reached when TensorFlow
makes them ready to run, which it does when they are first run: their depthwise ops are renamed, by
the op library. Graphs that have run before keep what they have, and so do, after `uninstall`, those
that ran meanwhile. Functions that XLA compiles are reached when it compiles them. What is traced,
saved or exported holds stock's ops always. Eager calls are reached one by one.

The swap is the whole process's, for all of its threads. `report` tells whose ops run.

On demand, Keras's BatchNormalization, which is no depthwise op, is computed by TensorFlow's fused
op as well: `install(batch_norm=True)`.
"""

from tf_dwbp import ops as _ops  # noqa: F401  # isort: skip  (loads the library)

import contextlib
import threading
from collections.abc import Iterable, Iterator

from tf_dwbp import family
from tf_dwbp.swap import batch_norm as _batch_norm
from tf_dwbp.swap import grouped, plug_in
from tf_dwbp.swap.report import BatchNormEntry, Entry, Report, report
from tf_dwbp.swap.saved_model import rewrite

__all__ = [
    "OPS",
    "BatchNormEntry",
    "Entry",
    "Report",
    "install",
    "installed",
    "report",
    "rewrite",
    "uninstall",
]

OPS = tuple(family.OPS)
"""The ops that can be swapped: "forward", "input_grad" and "filter_grad"."""

_lock = threading.Lock()


def install(ops: str | Iterable[str] = OPS, batch_norm: bool = False) -> None:
    """Swaps ops from now on, until `uninstall` is called.

    May be called several times over, from any thread: an op is swapped as long as any of the
    calls, or of the blocks in `installed`, asks for it.

    Args:
      ops: which ops to swap, some of `OPS`. Those that compute gradients are stock's unless they
        are among them.
      batch_norm: whether TensorFlow's FusedBatchNormV3 is to compute Keras's BatchNormalization
        layers in training, too, where it can. This holds for layers that are called or traced
        while it is installed; what was traced then keeps the fused op.

    Raises:
      ValueError: when `ops` is empty or holds anything else.
    """
    _change("install", check_ops(ops), bool(batch_norm))


def uninstall() -> None:
    """Takes back the latest `install` that is in force.

    When none is left, Keras's modules hold the same objects as before, and what is registered with
    TensorFlow, which cannot forget it, changes nothing.

    Raises:
      RuntimeError: when there is no `install` to take back.
    """
    if not _change("uninstall"):
        raise RuntimeError("tf_dwbp.swap.uninstall() was called without an install()")


@contextlib.contextmanager
def installed(ops: str | Iterable[str] = OPS, batch_norm: bool = False) -> Iterator[None]:
    """Swaps ops inside a `with` block; see `install`."""
    chosen = check_ops(ops), bool(batch_norm)
    _change("enter", *chosen)
    try:
        yield
    finally:
        _change("leave", *chosen)


def check_ops(ops: str | Iterable[str]) -> frozenset[str]:
    """The ops as a set, or ValueError."""
    chosen = frozenset([ops] if isinstance(ops, str) else ops)
    if not chosen or not chosen <= set(OPS):
        raise ValueError(f"ops must be some of {', '.join(OPS)}, but is {ops!r}")
    return chosen


def _change(change: str, ops: frozenset[str] = frozenset(), batch_norm: bool = False) -> bool:
    with _lock:
        plug_in.register()
        done = plug_in.select(change, ops, batch_norm)
        grouped.activate(bool(plug_in.selected()))
        _batch_norm.activate(plug_in.batch_norm_selected())
    return done
