"""Puts our ops in the place of stock TensorFlow's, while models that know nothing of us train.

    import tf_dwbp

    with tf_dwbp.swap.installed():
        model.fit(images, labels)

Graphs (`tf.function`, `model.fit`, SavedModels, `tf.data`) are reached when TensorFlow instantiates
a function, which it does when the function is first called: its depthwise ops are renamed, by a
graph optimizer in the op library. Functions that have run before keep what they have, and so do,
after `uninstall`, those that ran meanwhile; what is traced, and saved, holds stock's ops always.
Eager calls, and functions that XLA compiles, are reached in Python while they are called or traced.

The swap is the whole process's, for all of its threads. `report` tells whose ops run.
"""

import contextlib
import threading

from tf_dwbp import family
from tf_dwbp.swap import calls, plug_in
from tf_dwbp.swap.report import Entry, Report, report
from tf_dwbp.swap.saved_model import rewrite

__all__ = ["OPS", "Entry", "Report", "install", "installed", "report", "rewrite", "uninstall"]

OPS = tuple(family.OPS)
"""The ops that can be swapped: "forward", "input_grad" and "filter_grad"."""

_lock = threading.Lock()
_installs: list["_Install"] = []


class _Install:
    """One call of `install`, or one `with installed()`."""

    def __init__(self, ops, scoped):
        self.ops = ops
        self.scoped = scoped


def install(ops=OPS) -> None:
    """Swaps ops from now on, until `uninstall` is called.

    May be called several times over, from any thread: an op is swapped as long as any of the
    calls, or of the blocks in `installed`, asks for it.

    Args:
      ops: which ops to swap, some of `OPS`. Those that compute gradients are stock's unless they
        are among them.

    Raises:
      ValueError: when `ops` is empty or holds anything else.
    """
    _add(_Install(check_ops(ops), scoped=False))


def uninstall() -> None:
    """Takes back the latest `install` that is in force.

    When none is left, TensorFlow's Python modules hold the same objects as before, and the graph
    optimizer, which TensorFlow cannot forget, changes nothing.

    Raises:
      RuntimeError: when there is no `install` to take back.
    """
    with _lock:
        latest = next((one for one in reversed(_installs) if not one.scoped), None)
        if latest is None:
            raise RuntimeError("tf_dwbp.swap.uninstall() was called without an install()")
        _installs.remove(latest)
        _apply()


@contextlib.contextmanager
def installed(ops=OPS):
    """Swaps ops inside a `with` block; see `install`."""
    this = _Install(check_ops(ops), scoped=True)
    _add(this)
    try:
        yield
    finally:
        with _lock:
            _installs.remove(this)
            _apply()


def check_ops(ops) -> frozenset[str]:
    """The ops as a set, or ValueError."""
    chosen = frozenset([ops] if isinstance(ops, str) else ops)
    if not chosen or not chosen <= set(OPS):
        raise ValueError(f"ops must be some of {', '.join(OPS)}, but is {ops!r}")
    return chosen


def _add(one):
    with _lock:
        _installs.append(one)
        _apply()


def _apply():
    active = frozenset().union(*(one.ops for one in _installs))
    if not plug_in.register().error:
        plug_in.select(active)
    calls.activate(active)
