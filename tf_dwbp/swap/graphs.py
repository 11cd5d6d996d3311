"""Finds depthwise ops in GraphDefs as they were traced."""

from typing import NamedTuple

from tf_dwbp import family

_BY_STOCK = {names.stock: op for op, names in family.OPS.items()}
_BY_OURS = {names.ours: op for op, names in family.OPS.items()}


class Node(NamedTuple):
    """A depthwise op in a graph."""

    op: str  # a key of family.OPS
    ours: bool
    function: str  # "" for the graph itself
    compiled: bool  # whether XLA compiles the function
    node: object  # the NodeDef


def op_of(stock: str) -> str:
    """The key of family.OPS for stock's name of an op."""
    return _BY_STOCK[stock]


def depthwise_nodes(graph_def, compiled: bool = False) -> list[Node]:
    """All depthwise ops of a graph and of the functions that it calls, directly or not.

    Args:
      graph_def: a GraphDef.
      compiled: whether XLA compiles the graph itself.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    found, visited = [], set()
    left = [("", graph_def.node, compiled)]
    while left:
        name, nodes, under_jit = left.pop()
        for node in nodes:
            ours = node.op in _BY_OURS
            if ours or node.op in _BY_STOCK:
                op = _BY_OURS[node.op] if ours else _BY_STOCK[node.op]
                found.append(Node(op, ours, name, under_jit, node))
            for called in _called(node):
                if called not in functions:
                    continue
                function = functions[called]
                jit = under_jit or is_compiled(node.attr) or is_compiled(function.attr)
                if (called, jit) not in visited:
                    visited.add((called, jit))
                    left.append((called, function.node_def, jit))
    return found


def is_compiled(attributes) -> bool:
    """Whether attributes, of a function or of a call, are those that jit_compile=True leaves."""
    # Asking a protocol buffer's map for what it does not hold would add it.
    return "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b


def _called(node):
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name
