"""How many floating-point operations the ops take, for `tf.compat.v1.profiler`.

Counted as TensorFlow counts stock's forward op: a product and a sum for each element of the output
and each tap of the filter, also where the tap lies in the padding. Both gradients take the same
products; of stock's own TensorFlow has no count.
"""

from tensorflow.python.framework import graph_util
from tensorflow.python.framework import ops as framework_ops

from tf_dwbp import _registries, family


def _flops(graph, output, filter):  # noqa: A002
    output, filter = (  # noqa: A001
        graph_util.tensor_shape_from_node_def_name(graph, name) for name in (output, filter)
    )
    # A ValueError where they are not known, which the profiler expects.
    output.assert_is_fully_defined()
    filter.assert_is_fully_defined()
    taps = filter[0] * filter[1]
    return framework_ops.OpStats("flops", 2 * taps * output.num_elements())


@_registries.flops(family.OUR_FUSED)
@_registries.flops(family.OPS["forward"].ours)
def _flops_forward(graph, node):
    return _flops(graph, output=node.name, filter=node.input[1])


@_registries.flops(family.OPS["input_grad"].ours)
def _flops_input_grad(graph, node):
    return _flops(graph, output=node.input[2], filter=node.input[1])


@_registries.flops(family.OPS["filter_grad"].ours)
def _flops_filter_grad(graph, node):
    return _flops(graph, output=node.input[2], filter=node.name)
