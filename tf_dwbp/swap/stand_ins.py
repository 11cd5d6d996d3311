"""Functions of ours in the place of Keras's, in each Keras that is imported or will be."""

import collections
import importlib.abc
import importlib.machinery
import sys
import threading
import weakref
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_STAND_IN = "_tf_dwbp_stands_in_for"


class Place(NamedTuple):
    """Where a function of Keras's is, and how a stand-in for it is made."""

    holder: Callable  # module -> what holds the function there, None if nothing does
    attribute: str  # the function's name
    make: Callable  # (stock's function, module) -> a stand-in, None if there is to be none


class StandIns:
    """The stand-ins of one kind.

    Args:
      places: a `Place` by the name of its module.
      active: tells whether the stand-ins are wanted, when a Keras has been imported.
    """

    def __init__(self, places: dict[str, Place], active: Callable[[], bool]):
        self._places = places
        self._finder = _Finder(places, active)

    def activate(self, active: bool) -> None:
        """Puts the stand-ins into each Keras that is imported, or will be, or takes them out."""
        if active:
            if self._finder not in sys.meta_path:
                sys.meta_path.insert(0, self._finder)
            for name, place in self._places.items():
                if name in sys.modules:
                    _put_in(sys.modules[name], place)
            return
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        for name, place in self._places.items():
            if name in sys.modules and (holder := place.holder(sys.modules[name])) is not None:
                # Who has put something else there since may still call the stand-in, which from
                # now on calls Keras's function.
                stock = getattr(vars(holder).get(place.attribute), _STAND_IN, None)
                if stock is not None:
                    setattr(holder, place.attribute, stock)


def _put_in(module, place):
    holder = place.holder(module)
    stock = getattr(holder, place.attribute, None)
    if stock is not None and not hasattr(stock, _STAND_IN):
        stand_in = place.make(stock, module)
        if stand_in is not None:
            setattr(stand_in, _STAND_IN, stock)
            setattr(holder, place.attribute, stand_in)


class _Finder(importlib.abc.MetaPathFinder):
    """Sees to it that a Keras that is imported from now on gets its stand-in."""

    def __init__(self, places, active):
        self._places = places
        self._active = active

    def find_spec(self, fullname, path, target=None):
        if fullname not in self._places:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                if self._active():
                    _put_in(module, self._places[fullname])

            spec.loader.exec_module = exec_module
        return spec


class Tally:
    """Counts what stand-ins were called for: in the process, and in each function traced."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts = collections.Counter()
        self._of_graphs = weakref.WeakKeyDictionary()

    def add(self, what) -> None:
        """Counts a call, eager or traced, of `what`, which is hashable."""
        with self._lock:
            self._counts[what] += 1
            graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
            while graph is not None:
                self._of_graphs.setdefault(graph, collections.Counter())[what] += 1
                graph = getattr(graph, "outer_graph", None)

    def counts(self, graph=None) -> dict:
        """How often what was called or traced.

        Args:
          graph: a function's graph, or None for all calls and functions.
        """
        with self._lock:
            return dict(self._counts if graph is None else self._of_graphs.get(graph, {}))
