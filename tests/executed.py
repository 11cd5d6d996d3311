"""Which depthwise ops TensorFlow itself says that it ran: an oracle for who computed something."""

import collections
import re

from tensorflow.python.eager import context as eager_context
from tensorflow.python.framework import op_callbacks


def in_graphs(call) -> dict[str, int]:
    """Calls the function; counts, by name, the ops in the graphs that were instantiated for it.

    Stock's are counted under their names for users, whatever TensorFlow makes of them on CPU. A
    function that has run before is not instantiated again.
    """
    context = eager_context.context()
    context.enable_run_metadata()
    try:
        context.export_run_metadata()  # what was left from before
        call()
        metadata = context.export_run_metadata()
    finally:
        context.disable_run_metadata()
    names = collections.Counter()
    for function in metadata.function_graphs:
        for graph in function.partition_graphs:
            for node in graph.node:
                if "Depthwise" in node.op:
                    name = re.sub("^_Mkl(Native)?", "", node.op)
                    names["_" + name if name.startswith("Fused") else name] += 1
    return dict(names)


def eagerly(call) -> dict[str, int]:
    """Calls the function, and counts the ops that it executes one by one, by name."""
    names = collections.Counter()

    def callback(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        op_type = op_type if isinstance(op_type, str) else op_type.decode()
        if graph is None and "Depthwise" in op_type:
            names[op_type] += 1

    op_callbacks.add_op_callback(callback)
    try:
        call()
    finally:
        op_callbacks.remove_op_callback(callback)
    return dict(names)
