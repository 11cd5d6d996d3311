"""Whose depthwise ops run: ours or stock's."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from tf_dwbp import _library, family
from tf_dwbp.swap import batch_norm, graphs, grouped, plug_in

_NOT_RUN = "not run yet: decided when it first runs"
_UNKNOWN = "traced before the first install(): stock's if it has run, else decided when it does"
_NAMES = 3  # of layers, in a line
_NO_XLA = "compiled by XLA, and this build has no XLA kernels"


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
        """Whether stock's op is one with the bias that follows it, and was left to stock."""
        return self.by == "stock" and "_Fused" in self.why


@dataclasses.dataclass(frozen=True)
class BatchNormEntry:
    """A BatchNormalization layer that was called or traced in training, while it was asked for."""

    layer: str  # its name
    fused: bool  # whether TensorFlow's fused op computes it
    why: str  # it was left to Keras; "" if it was not
    count: int = 1  # of calls and traces


@dataclasses.dataclass(frozen=True)
class Report:
    """Whose depthwise ops run; `str()` of it is a table.

    `batch_norms` tells of BatchNormalization, after `install(batch_norm=True)`.
    """

    entries: tuple[Entry, ...]
    batch_norms: tuple[BatchNormEntry, ...] = ()

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

    def _count(self, by: str) -> int:
        return sum(entry.count for entry in self.entries if entry.by == by)

    def __str__(self) -> str:
        parts = [f"{self.ours} ours", f"{self.stock} stock's"]
        if self.undecided:
            parts.append(f"{self.undecided} undecided")
        groups: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
        for entry in self.entries:
            groups[entry.by, entry.op, entry.where, entry.why] += entry.count
        order = list(family.OPS)
        lines = [
            f"  {by:<9}  {op:<11}  {count:>5}  in {where}: {why}"
            for (by, op, where, why), count in sorted(
                groups.items(), key=lambda item: (item[0][2], order.index(item[0][1]), item[0])
            )
        ]
        return "\n".join(
            [f"Depthwise ops: {', '.join(parts)}", *lines, *_batch_norm_lines(self.batch_norms)]
        )


def _batch_norm_lines(entries: Iterable[BatchNormEntry]) -> Iterator[str]:
    if not entries:
        return
    fused = sum(entry.count for entry in entries if entry.fused)
    left = collections.defaultdict(list)
    for entry in entries:
        if not entry.fused:
            left[entry.why].append(entry)
    kept = sum(entry.count for found in left.values() for entry in found)
    yield f"BatchNormalization: {fused} fused, {kept} left to Keras"
    for why, found in sorted(left.items()):
        names = ", ".join(entry.layer for entry in found[:_NAMES]) + ", ..." * (len(found) > _NAMES)
        yield f"  left to Keras  {sum(entry.count for entry in found):>5}  {names}: {why}"


def report(of: Any = None) -> Report:
    """Tells which depthwise ops are ours and which stock's, gradients included.

    After `install(batch_norm=True)`, also which BatchNormalization layers were fused: of a function
    those that were traced in it, of the process all calls and traces.

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
    functions = _concrete_functions(of)
    records = plug_in.ledger()
    found = {function: _of_function(function, records) for function in functions}
    entries: list[Entry] = []
    batch_norms: list[BatchNormEntry] = []
    for function, of_function in found.items():
        if not _is_replaced(function, found):
            entries += of_function
            batch_norms += _batch_norms(function.graph)
    # A function that was inlined into another of them has its ops there.
    return Report(tuple(dict.fromkeys(entries)), tuple(dict.fromkeys(batch_norms)))


def _of_process() -> Report:
    entries = [_entry(record) for record in plug_in.ledger() if record.stock]
    return Report((*entries, *_grouped(grouped.counts())), tuple(_batch_norms()))


def _batch_norms(graph: Any = None) -> list[BatchNormEntry]:
    """The entries of a graph, or of the process."""
    return [
        BatchNormEntry(layer, not why, why, count)
        for (layer, why), count in batch_norm.counts(graph).items()
    ]


def _grouped(counts: dict[str, int]) -> list[Entry]:
    return [
        Entry("forward", "stock", why, grouped.WHERE, count=count) for why, count in counts.items()
    ]


def _entry(record: plug_in.Record) -> Entry:
    op = graphs.op_of(record.stock)
    return Entry(op, record.by, record.why, record.graph, record.node, record.count)


def _of_function(function: Any, records: list[plug_in.Record]) -> list[Entry]:
    """The entries of a concrete function and of those that it calls."""
    names = _names(function)
    graph_def = function.graph.as_graph_def()
    is_compiled = graphs.is_compiled(function.function_def.attr)
    traced = graphs.depthwise_nodes(graph_def, is_compiled)
    name = _text(function.name)
    compiled = {called or name for called in graphs.compiled_functions(graph_def, is_compiled)}
    ran = [r for r in records if r.graph in names | compiled or r.traced_function in names]
    entries = [_entry(record) for record in ran if record.stock]
    graphs_that_ran = {record.graph for record in ran}
    for node in traced:
        where = node.function or name
        if not (graphs_that_ran & compiled if node.compiled else graphs_that_ran - compiled):
            by, why = _as_traced(node, name)
            entries.append(Entry(node.op, by, why, where, node.node.name))
    return entries + _grouped(grouped.counts(function.graph))


def _as_traced(node: graphs.Node, name: str) -> tuple[str, str]:
    """Whose op it is that has not been seen to run, and why."""
    if node.ours:
        return "ours", "traced so"
    if node.compiled and not _library.build_info().get("xla"):
        return "stock", _NO_XLA
    return "undecided", _UNKNOWN if _number(name) <= plug_in.register().uid else _NOT_RUN


def _is_replaced(function: Any, found: dict[Any, list[Entry]]) -> bool:
    """Whether nothing of a function has run, and another of the same signature was traced since.

    TensorFlow traces a function that makes variables once more, and runs the second trace.
    """
    if not any(entry.by == "undecided" for entry in found[function]):
        return False
    number, parameters = _number(_text(function.name)), function.function_type.parameters
    return any(
        _number(_text(other.name)) > number and other.function_type.parameters == parameters
        for other in found
    )


def _number(name: str) -> int:
    """The number, ever growing, that ends TensorFlow's names of functions."""
    digits = re.search(r"\d+$", name)
    return int(digits.group()) if digits else 0


def _text(name: str | bytes) -> str:
    return tf.compat.as_str(name)


def _names(function: Any) -> set[str]:
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


def _concrete_functions(of: Any) -> list[Any]:
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


def _held_functions(function: Any, depth: int = 4) -> list[Any]:
    """The outermost tf.functions that a function of Python is or calls, by way of closures."""
    if isinstance(function, tf.types.experimental.PolymorphicFunction):
        return [function]
    found: list[Any] = []
    if depth:
        for cell in getattr(function, "__closure__", None) or ():
            if callable(cell.cell_contents):
                found += _held_functions(cell.cell_contents, depth - 1)
    return found
