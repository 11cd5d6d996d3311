"""The ops where people use it: tf.function, tf.data, Keras, and a SavedModel in another process."""

import inspect
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import op_def_registry

import tf_dwbp
from tf_dwbp import ops
from tf_dwbp.conformance import verdicts
from tf_dwbp.conformance.cases import Case, Shape
from tf_dwbp.tools import targets

CASE = Case("float", "NHWC", "SAME", Shape("usage", 2, 9, 8, 5, 2, 3, 3), (2, 1), (1, 2))


# Our functions -> the raw ops that they stand in for.
COUNTERPARTS = {
    "depthwise_conv2d": "DepthwiseConv2dNative",
    "depthwise_conv2d_backprop_input": "DepthwiseConv2dNativeBackpropInput",
    "depthwise_conv2d_backprop_filter": "DepthwiseConv2dNativeBackpropFilter",
}


class UsageTest(tf.test.TestCase, parameterized.TestCase):
    def _assert_right(self, answer, case=CASE):
        outcome = verdicts.judge(np.asarray(answer), case, verdicts.expectation(case))
        self.assertEqual(outcome.verdict, verdicts.Verdict.AGREES, outcome)

    @parameterized.parameters(*COUNTERPARTS.items())
    def test_signature_is_that_of_the_raw_op(self, name, raw_op):
        ours = inspect.signature(getattr(ops, name))
        stock = inspect.signature(getattr(tf.raw_ops, raw_op))
        self.assertEqual(list(ours.parameters), list(stock.parameters))
        for name, parameter in stock.parameters.items():
            self.assertEqual(ours.parameters[name].default, parameter.default)

    def test_positional_arguments(self):
        attributes = CASE.attributes
        filter, out_backprop = CASE.inputs()
        self._assert_right(
            ops.depthwise_conv2d_backprop_input(
                CASE.input_sizes,
                filter,
                out_backprop,
                attributes["strides"],
                attributes["padding"],
                attributes["explicit_paddings"],
                attributes["data_format"],
                attributes["dilations"],
                "a_name",
            )
        )

    @parameterized.parameters(*COUNTERPARTS.values())
    def test_op_definition_is_that_of_stock(self, raw_op):
        def definition(name):
            op_def = op_def_registry.get(name)
            attributes = {a.name: (a.type, a.default_value, a.allowed_values) for a in op_def.attr}
            arguments = [
                (a.name, a.type, a.type_attr) for a in [*op_def.input_arg, *op_def.output_arg]
            ]
            return arguments, attributes

        stock_arguments, stock = definition(raw_op)
        our_arguments, ours = definition(f"TfDwbp>{raw_op}")
        self.assertEqual(our_arguments, stock_arguments)
        self.assertEqual(ours, stock)

    def test_variables_and_lists(self):
        filter, out_backprop = CASE.inputs()
        self._assert_right(
            ops.depthwise_conv2d_backprop_input(
                list(CASE.input_sizes),
                tf.Variable(filter),
                out_backprop.tolist(),
                **CASE.attributes,
            )
        )

    @parameterized.parameters("NHWC", "NCHW")
    def test_function_with_unknown_shapes(self, layout):
        case = Case("float", layout, "EXPLICIT", CASE.shape, (1, 2), (2, 1))
        unknown = tf.TensorSpec(None, tf.float32)

        @tf.function(input_signature=[tf.TensorSpec(None, tf.int32), unknown, unknown])
        def function(sizes, filter, out_backprop):
            return ops.depthwise_conv2d_backprop_input(
                sizes, filter, out_backprop, **case.attributes
            )

        self._assert_right(function(case.input_sizes, *case.inputs()), case)

    def test_dataset_map(self):
        dataset = tf.data.Dataset.from_tensors(CASE.inputs()).repeat(3)
        dataset = dataset.map(
            lambda filter, out_backprop: ops.depthwise_conv2d_backprop_input(
                CASE.input_sizes, filter, out_backprop, **CASE.attributes
            ),
            num_parallel_calls=2,
        )
        answers = list(dataset)
        self.assertLen(answers, 3)
        for answer in answers:
            self._assert_right(answer)

    def test_keras_layer_trains(self):
        self._train_keras_layer(jit_compile=False)

    @pytest.mark.xla
    def test_keras_layer_trains_under_jit(self):
        plain = self._train_keras_layer(jit_compile=False)
        self.assertAllClose(self._train_keras_layer(jit_compile=True), plain, rtol=1e-3)

    def _train_keras_layer(self, jit_compile):
        """The losses."""

        class TransposedDepthwise(tf.keras.layers.Layer):
            """Upsamples by 2: the input gradient as a layer of its own."""

            def build(self, shape):
                self.kernel = self.add_weight(shape=(3, 3, shape[-1], 1), initializer="ones")

            def call(self, x):
                shape = tf.shape(x)
                sizes = tf.stack([shape[0], 2 * shape[1], 2 * shape[2], shape[3]])
                return ops.depthwise_conv2d_backprop_input(
                    sizes, self.kernel, x, [1, 2, 2, 1], "SAME"
                )

        tf.keras.utils.set_random_seed(1)
        inputs = tf.random.normal([32, 4, 4, 3])
        target_kernel = tf.random.normal([3, 3, 3, 1])
        targets = ops.depthwise_conv2d_backprop_input(
            [32, 8, 8, 3], target_kernel, inputs, [1, 2, 2, 1], "SAME"
        )
        layer = TransposedDepthwise()
        model = tf.keras.Sequential([layer])
        model.compile(tf.keras.optimizers.Adam(0.1), "mse", jit_compile=jit_compile)
        history = model.fit(inputs, targets, epochs=100, verbose=0)
        self.assertAllClose(layer.kernel, target_kernel, atol=0.05)
        return history.history["loss"]

    def test_keras_layer_trains_on_a_combination_that_stock_refuses(self):
        class Depthwise(tf.keras.layers.Layer):
            def build(self, shape):
                self.kernel = self.add_weight(shape=(3, 3, shape[1], 1), initializer="ones")

            def call(self, x):
                return tf_dwbp.nn.depthwise_conv2d(
                    x, self.kernel, [1, 1, 2, 1], "SAME", "NCHW", dilations=[2, 3]
                )

        tf.keras.utils.set_random_seed(1)
        inputs, kernel = tf.random.normal([64, 3, 8, 8]), tf.random.normal([3, 3, 3, 1])
        layer = Depthwise()
        model = tf.keras.Sequential([layer])
        model.compile(tf.keras.optimizers.Adam(0.1), "mse", jit_compile=False)
        targets = tf_dwbp.nn.depthwise_conv2d(
            inputs, kernel, [1, 1, 2, 1], "SAME", "NCHW", dilations=[2, 3]
        )
        model.fit(inputs, targets, epochs=60, verbose=0)
        self.assertAllClose(layer.kernel, kernel, atol=0.05)

    @parameterized.parameters(*COUNTERPARTS)
    def test_saved_model_in_another_process(self, name):
        self._test_saved_model_in_another_process(name, jit_compile=False)

    @parameterized.parameters(*COUNTERPARTS)
    @pytest.mark.xla
    def test_saved_model_under_jit_in_another_process(self, name):
        self._test_saved_model_in_another_process(name, jit_compile=True)

    def _test_saved_model_in_another_process(self, name, jit_compile):
        op = {function.__name__: op for op, function in targets.load(targets.OURS).items()}[name]
        shape = Shape("saved", 2, 9, 8, 5, 1, 3, 3)
        case = Case("float", "NHWC", "SAME", shape, (2, 1), (1, 2), op)
        function, fixed = getattr(ops, name), case.arguments()
        names = [name for name in ("input", "filter", "out_backprop") if name in fixed]
        tensors = {name: fixed.pop(name) for name in names}

        class Module(tf.Module):
            @tf.function(
                input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec(None)],
                jit_compile=jit_compile,
            )
            def serve(self, first, second):
                return function(**dict(zip(names, (first, second), strict=True)), **fixed)

        directory = tempfile.mkdtemp(dir=self.get_temp_dir())
        tf.saved_model.save(Module(), directory)
        np.savez(f"{directory}/inputs.npz", **tensors)
        program = """if True:
            import sys
            import numpy as np, tensorflow as tf, tf_dwbp
            inputs = np.load(sys.argv[1] + "/inputs.npz")
            model = tf.saved_model.load(sys.argv[1])
            np.save(sys.argv[1] + "/answer.npy", model.serve(*map(inputs.get, inputs)))
        """
        source = os.path.dirname(os.path.dirname(tf_dwbp.__file__))
        path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
        subprocess.run(
            [sys.executable, "-c", program, directory],
            check=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._assert_right(np.load(f"{directory}/answer.npy"), case)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
