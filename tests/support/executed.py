"""Which depthwise ops TensorFlow itself says that it ran: an oracle for who computed something."""

import collections
import re

from tensorflow.python.eager import context as eager_context


def in_graphs(call) -> dict[str, int]:
    """Calls the function; counts, by name, the ops in the graphs that were instantiated for it.

    A function that has run before is not instantiated again.
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
                    names[_name(node.op)] += 1
    return dict(names)


def eagerly(call) -> dict[str, int]:
    """Calls the function, and names the ops for which it makes kernels to execute one by one.

    Each counts once, however often it is called: TensorFlow makes a kernel, as a function of one
    op, when it has none.
    """
    eager_context.context().clear_kernel_cache()
    return dict.fromkeys(in_graphs(call), 1)


def _name(op):
    """Stock's ops under their names for users, whatever TensorFlow makes of them on CPU."""
    name = re.sub("^_Mkl(Native)?", "", op)
    return "_" + name if name.startswith("Fused") else name
