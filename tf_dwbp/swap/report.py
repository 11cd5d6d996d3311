"""Whose depthwise ops run: ours or stock's."""

import collections
import dataclasses
import re

import tensorflow as tf

from tf_dwbp import family
from tf_dwbp.swap import calls, graphs, plug_in

_NOT_RUN = "not run yet: decided when it first runs"
_UNKNOWN = "traced before the first install(): stock's if it has run, else decided when it does"
_COMPILED = "compiled by XLA as it was traced"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A depthwise op in a graph, or the calls of one that came from Python."""

    op: str  # one of tf_dwbp.swap.OPS
    by: str  # "ours", "stock", or "undecided": its function has not run yet
    why: str
    where: str  # the function that runs, or what calls are counted, for example "eager calls"
    node: str = ""  # the op's name in the function
    count: int = 1

    @property
    def fused(self) -> bool:
        """Whether stock's op is one with the bias that follows it, and was left alone for that."""
        return self.by == "stock" and "_Fused" in self.why


@dataclasses.dataclass(frozen=True)
class Report:
    """Whose depthwise ops run; `str()` of it is a table."""

    entries: tuple[Entry, ...]

    @property
    def ours(self) -> int:
        """How many ops, or calls, are ours."""
        return self._count("ours")

    @property
    def stock(self) -> int:
        """How many are stock TensorFlow's."""
        return self._count("stock")

    @property
    def undecided(self) -> int:
        """How many are in functions that have not run yet."""
        return self._count("undecided")

    def _count(self, by):
        return sum(entry.count for entry in self.entries if entry.by == by)

    def __str__(self):
        parts = [f"{self.ours} ours", f"{self.stock} stock's"]
        if self.undecided:
            parts.append(f"{self.undecided} undecided")
        groups = collections.Counter()
        for entry in self.entries:
            groups[entry.by, entry.op, entry.where, entry.why] += entry.count
        order = list(family.OPS)
        lines = [
            f"  {by:<9}  {op:<11}  {count:>5}  in {where}: {why}"
            for (by, op, where, why), count in sorted(
                groups.items(), key=lambda item: (item[0][2], order.index(item[0][1]), item[0])
            )
        ]
        return "\n".join([f"Depthwise ops: {', '.join(parts)}", *lines])


def report(of=None) -> Report:
    """Tells which depthwise ops are ours and which stock's, gradients included.

    Of functions that have run it tells what TensorFlow runs, after its own optimizations: ops that
    were merged or removed are not there. Of others it tells what was traced.

    Args:
      of: a concrete function, a `tf.function` (all that was traced of it), a Keras model (its
        train step), or None: everything that the process has run since the first `install()`,
        eager calls included.

    Raises:
      ValueError: when `of` is none of these, or a model that has not been trained.
    """
    if of is None:
        return _of_process()
    entries = []
    for function in _concrete_functions(of):
        entries += _of_function(function)
    # A function that was inlined into another of them has its ops there.
    return Report(tuple(dict.fromkeys(entries)))


def _of_process():
    entries = [_entry(record) for record in plug_in.ledger()]
    for (op, where, by, why), count in calls.counts().items():
        entries.append(Entry(op, by, why, where, count=count))
    return Report(tuple(entries))


def _entry(record):
    return Entry(graphs.op_of(record.stock), record.by, record.why, record.graph, record.node)


def _of_function(function):
    names = _names(function)
    ran = [
        record
        for record in plug_in.ledger()
        if record.graph in names or record.traced_function in names
    ]
    traced = graphs.depthwise_nodes(
        function.graph.as_graph_def(), graphs.is_compiled(function.function_def.attr)
    )
    entries = [_entry(record) for record in ran]
    name = _text(function.name)
    for node in traced:
        if node.compiled or not ran:
            by, why = _as_traced(node, name)
            entries.append(Entry(node.op, by, why, node.function or name, node.node.name))
    return entries


def _as_traced(node, name):
    """Whose op it is that the graph optimizer has not seen, and why."""
    by = "ours" if node.ours else "stock"
    if node.compiled:
        return by, _COMPILED
    registration = plug_in.register()
    if node.ours:
        return by, "traced so"
    if registration.error:
        return by, registration.error
    return "undecided", _UNKNOWN if _number(name) <= registration.uid else _NOT_RUN


def _number(name):
    """The number, ever growing, that ends TensorFlow's names of functions."""
    digits = re.search(r"\d+$", name)
    return int(digits.group()) if digits else 0


def _text(name):
    return tf.compat.as_str(name)


def _names(function):
    """A concrete function's names: under a tape outside of it, TensorFlow runs others for it."""
    names = {_text(function.name)}
    rewritten = getattr(function, "_delayed_rewrite_functions", None)
    variants = list(getattr(rewritten, "_cached_function_pairs", {}).values())
    for attribute in ("_first_order_tape_functions", "_higher_order_tape_functions"):
        for pair in getattr(function, attribute, {}).values():
            variants.append((getattr(pair, "_forward", None), getattr(pair, "_backward", None)))
    for pair in variants:
        names.update(_text(variant.name) for variant in pair if variant is not None)
    return names


def _concrete_functions(of):
    if isinstance(of, tf.types.experimental.ConcreteFunction):
        return [of]
    if isinstance(of, tf.types.experimental.PolymorphicFunction):
        return list(of._list_all_concrete_functions())
    if hasattr(of, "train_function"):
        if of.train_function is None:
            raise ValueError("the model has not been trained: report() looks at its train step")
        functions = _held_functions(of.train_function)
        if functions:
            return [
                concrete
                for function in functions
                for concrete in function._list_all_concrete_functions()
            ]
        raise ValueError("the model is trained eagerly: report() without arguments counts calls")
    raise ValueError(
        "report() takes a tf.function, a concrete function, a Keras model or nothing, but got "
        f"{of!r}"
    )


def _held_functions(function, depth=4):
    """The outermost tf.functions that a function of Python is or calls, by way of closures."""
    if isinstance(function, tf.types.experimental.PolymorphicFunction):
        return [function]
    found = []
    if depth:
        for cell in getattr(function, "__closure__", None) or ():
            if callable(cell.cell_contents):
                found += _held_functions(cell.cell_contents, depth - 1)
    return found
