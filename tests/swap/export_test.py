"""What is exported while our ops are installed holds stock's, since others may not know ours."""

import pathlib
import sys
import tempfile

import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.protobuf import config_pb2, saved_model_pb2
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
    convert_variables_to_constants_v2_as_graph,
)
from tensorflow.python.grappler import tf_optimizer

from swap_cases import FILTER, IMAGE, OURS, STOCK, SwapTestCase
from tf_dwbp import swap


def _ops(graph_def):
    nodes = list(graph_def.node)
    for function in graph_def.library.function:
        nodes += function.node_def
    return {node.op for node in nodes if "Depthwise" in node.op}


class ExportTest(SwapTestCase):
    def _step(self, jit, device):
        with tf.device(device):
            variable = tf.Variable(FILTER)

        def step(image):
            with tf.device(device), tf.GradientTape() as tape:
                tape.watch(image)
                output = tf.nn.relu6(tf.nn.depthwise_conv2d(image, variable, [1, 1, 1, 1], "SAME"))
            return output, tape.gradient(output, [image, variable])

        signature = [tf.TensorSpec(IMAGE.shape)]
        return tf.function(step, input_signature=signature, jit_compile=jit), variable

    @parameterized.product(jit=(False, True), device=(None, "/CPU:0"), run_before=(False, True))
    def test_freezing(self, jit, device, run_before):
        with swap.installed():
            function, _ = self._step(jit, device)
            if run_before:
                function(IMAGE)
            concrete = function.get_concrete_function()
            frozen = convert_variables_to_constants_v2(concrete)
            _, graph_def = convert_variables_to_constants_v2_as_graph(concrete)
        for found in (concrete.graph.as_graph_def(), frozen.graph.as_graph_def(), graph_def):
            self.assertEqual(_ops(found), set(STOCK.values()))

    @parameterized.parameters(False, True)
    def test_tensorflow_lite(self, jit):
        with swap.installed():
            weights = tf.Variable(FILTER)
            function = tf.function(
                lambda image: tf.nn.depthwise_conv2d(image, weights, [1, 1, 1, 1], "SAME"),
                input_signature=[tf.TensorSpec(IMAGE.shape)],
                jit_compile=jit,
            )
            concrete = function.get_concrete_function()
            model = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function).convert()
        interpreter = tf.lite.Interpreter(model_content=model)
        ops = {details["op_name"] for details in interpreter._get_ops_details()}
        self.assertIn("DEPTHWISE_CONV_2D", ops)

    @parameterized.parameters(False, True)
    def test_graphs_that_are_optimized_to_be_kept(self, device):
        with tf.Graph().as_default(), tf.device("/CPU:0" if device else None):
            image = tf.compat.v1.placeholder(tf.float32, IMAGE.shape)
            output = tf.nn.depthwise_conv2d(image, tf.constant(FILTER.numpy()), [1] * 4, "SAME")
            output = output * 2.0
            meta_graph = tf.compat.v1.train.export_meta_graph()
        meta_graph.collection_def["train_op"].node_list.value.append(output.op.name)
        config = config_pb2.ConfigProto()
        config.graph_options.rewrite_options.min_graph_nodes = -1
        with swap.installed():
            optimized = tf_optimizer.OptimizeGraph(config, meta_graph)
        self.assertEqual(_ops(optimized), {STOCK["forward"]})

    @parameterized.parameters(False, True)
    def test_saved_models(self, jit):
        with swap.installed(), tempfile.TemporaryDirectory() as folder:
            module = tf.Module()
            module.step, module.filter = self._step(jit, None)
            module.step(IMAGE)
            tf.saved_model.save(module, folder)
            saved_model = saved_model_pb2.SavedModel()
            saved_model.ParseFromString(pathlib.Path(folder, "saved_model.pb").read_bytes())
        found = _ops(saved_model.meta_graphs[0].graph_def)
        self.assertContainsSubset(STOCK.values(), found)
        self.assertEmpty(found & set(OURS.values()))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
