"""What the tests of `tf_dwbp.swap` share."""

import sys

import keras  # noqa: F401  (whose modules must be left as they are)
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import cluster, tf_optimizer
from tensorflow.python.ops import gen_nn_ops

import executed
from tf_dwbp import family, swap
from tf_dwbp.swap import grouped

STOCK = {op: names.stock for op, names in family.OPS.items()}
OURS = {op: f"TfDwbp>{name}" for op, name in STOCK.items()}
ATTRIBUTES = {"strides": [1, 1, 1, 1], "padding": "SAME"}


def random(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape), tf.float32)


IMAGE, FILTER = random(2, 9, 8, 3), random(3, 3, 3, 2)


def all_three(image=IMAGE, filter=FILTER):  # noqa: A002
    """A step with each of the three ops in it."""
    with tf.GradientTape() as tape:
        tape.watch([image, filter])
        output = tf.nn.depthwise_conv2d(image, filter, padding="SAME", strides=[1, 1, 1, 1])
        loss = tf.reduce_sum(output**2)
    return [output, *tape.gradient(loss, [image, filter])]


def all_three_nested(image=IMAGE, filter=FILTER):  # noqa: A002
    """The same, with the convolution in a function, whose gradient TensorFlow makes as a graph."""

    @tf.function
    def convolve(image, filter):  # noqa: A002
        return tf.nn.depthwise_conv2d(image, filter, padding="SAME", strides=[1, 1, 1, 1])

    with tf.GradientTape() as tape:
        tape.watch([image, filter])
        output = convolve(image, filter)
        loss = tf.reduce_sum(output**2)
    return [output, *tape.gradient(loss, [image, filter])]


def keras_backend():
    """The module that has `conv` of Keras's TensorFlow backend."""
    (name,) = (name for name in grouped.BACKENDS if name in sys.modules)
    return sys.modules[name]


def _patched():
    """What is in the places of TensorFlow's that may be patched."""
    modules = [
        gen_nn_ops,
        keras_backend(),
        *(api.raw_ops for api in (tf, tf.compat.v1, tf.compat.v2)),
    ]
    return {
        (module.__name__, name): value for module in modules for name, value in vars(module).items()
    }


def names_of(*ops):
    return {(OURS if op in ops else STOCK)[op]: 1 for op in swap.OPS}


def in_graphs(function, results=None):
    """Traces the function anew, runs it, and tells which ops ran."""
    traced = tf.function(lambda: function())
    results = [] if results is None else results
    return executed.in_graphs(lambda: results.append(traced()))


def eagerly(function, results=None):
    results = [] if results is None else results
    return executed.eagerly(lambda: results.append(function()))


WAYS = {"in_graphs": in_graphs, "eagerly": eagerly}


class SwapTestCase(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.before = _patched()

    def tearDown(self):
        super().tearDown()
        after = _patched()
        self.assertEqual(self.before.keys(), after.keys())
        for place, value in self.before.items():
            self.assertIs(after[place], value, place)


class OptimizerTestCase(SwapTestCase):
    """Graphs for any machine, which are optimized and not run."""

    def optimize(self, build, ops=swap.OPS, wanted=()):
        """The nodes by name, optimized with our ops installed and without.

        `build` makes the graph, and returns the result; `wanted` are names of other nodes to keep.
        """
        with tf.Graph().as_default():
            result = build()
            meta_graph = tf.compat.v1.train.export_meta_graph()
        meta_graph.collection_def["train_op"].node_list.value.extend([result.op.name, *wanted])
        config = config_pb2.ConfigProto()
        config.graph_options.rewrite_options.min_graph_nodes = -1
        without = self._optimizer(config, meta_graph)
        with swap.installed(ops):
            optimized = self._optimizer(config, meta_graph)
        originals = {node.name: node for node in without.node}
        return {node.name: (node, originals[node.name]) for node in optimized.node}

    def _optimizer(self, config, meta_graph):
        # Not as a graph that is to be kept, which is called graph_to_optimize.
        return tf_optimizer.OptimizeGraph(
            config, meta_graph, graph_id=self.id(), cluster=cluster.Cluster()
        )

    def whys(self):
        return {
            (entry.node, entry.why) for entry in swap.report().entries if entry.where == self.id()
        }
