"""Finds depthwise ops in GraphDefs as they were traced."""

from typing import Any, NamedTuple

from tf_dwbp import family

_BY_STOCK = {names.stock: op for op, names in family.OPS.items()}
_OURS = {names.ours: op for op, names in family.OPS.items()} | {family.OUR_FUSED: "forward"}
_BY_NAME = _BY_STOCK | _OURS


class Node(NamedTuple):
    """A depthwise op in a graph."""

    op: str  # a key of family.OPS
    ours: bool
    function: str  # "" for the graph itself
    compiled: bool  # whether XLA compiles the function
    node: Any  # the NodeDef


def op_of(stock: str) -> str:
    """The key of family.OPS for stock's name of an op."""
    return _BY_STOCK[stock]


def depthwise_nodes(graph_def, compiled: bool = False, everything: bool = False) -> list[Node]:
    """All depthwise ops of a graph and of the functions that it calls, directly or not.

    Args:
      graph_def: a GraphDef.
      compiled: whether XLA compiles the graph itself.
      everything: take all functions of the graph's library, called or not.
    """
    bodies, calls, under_xla = _functions(graph_def, compiled)
    names = bodies if everything else _reachable({""}, calls)
    return [
        Node(_BY_NAME[node.op], node.op in _OURS, name, name in under_xla, node)
        for name in bodies
        if name in names
        for node in bodies[name]
        if node.op in _BY_NAME
    ]


def compiled_functions(graph_def, compiled: bool = False) -> set[str]:
    """The functions of a graph that XLA compiles, or that such functions call; "" for itself."""
    return _functions(graph_def, compiled)[2]


def _functions(graph_def, compiled):
    """Bodies and calls of all functions, by name, and the names of those that XLA compiles."""
    bodies = {"": graph_def.node}
    under_xla = {""} if compiled else set()
    for function in graph_def.library.function:
        bodies[function.signature.name] = function.node_def
        if is_compiled(function.attr):
            under_xla.add(function.signature.name)
    calls = {name: list(_calls(body, bodies)) for name, body in bodies.items()}
    for name in bodies:
        under_xla.update(called for called, by_xla in calls[name] if by_xla)
    return bodies, calls, _reachable(under_xla, calls)


def _calls(body, functions):
    """The functions that nodes call, and whether the call has XLA compile them."""
    for node in body:
        for value in [node.op, *node.attr.values()]:
            if isinstance(value, str):
                called = [value]
            else:
                called = [function.name for function in (value.func, *value.list.func)]
            for name in called:
                if name in functions and name:
                    yield name, is_compiled(node.attr)


def _reachable(names, calls):
    found, left = set(names), list(names)
    while left:
        for called, _ in calls[left.pop()]:
            if called not in found:
                found.add(called)
                left.append(called)
    return found


def is_compiled(attributes) -> bool:
    """Whether attributes, of a function or of a call, are those that jit_compile=True leaves."""
    # Asking a protocol buffer's map for what it does not hold would add it.
    return "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b
