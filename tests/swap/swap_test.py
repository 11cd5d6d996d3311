"""`tf_dwbp.swap`: who computes what, by TensorFlow's own account."""

import functools
import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.protobuf import config_pb2

import executed
from swap_cases import (
    ATTRIBUTES,
    FILTER,
    IMAGE,
    OURS,
    STOCK,
    WAYS,
    SwapTestCase,
    all_three,
    all_three_nested,
    names_of,
    random,
)
from tf_dwbp import swap


class ReachTest(SwapTestCase):
    @parameterized.product(
        ops=(swap.OPS, ("input_grad",), ("forward",), ("forward", "filter_grad")),
        way=("in_graphs", "eagerly"),
    )
    def test_those_asked_for_run_and_no_others(self, ops, way):
        expected = all_three()
        with swap.installed(ops):
            results = []
            ran = WAYS[way](all_three, results)
            self.assertEqual(ran, names_of(*ops))
        for ours, stock in zip(results[0], expected, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-5, atol=1e-5)

    @parameterized.parameters(*WAYS)
    def test_without_an_install_stocks_run(self, way):
        with swap.installed():
            all_three()
        self.assertEqual(WAYS[way](all_three), names_of())

    def test_traced_before_and_run_after_is_ours(self):
        step = tf.function(lambda: all_three()).get_concrete_function()
        with swap.installed():
            self.assertEqual(executed.in_graphs(step), names_of(*swap.OPS))

    def test_what_has_run_keeps_what_it_has(self):
        # Stock adds in another order, so that the bits tell who did. In 16-bit types oneDNN, on
        # some processors, comes to the same bits as we do.
        image, filter = tf.cast(IMAGE, tf.double), tf.cast(FILTER, tf.double)  # noqa: A001

        def convolve():
            return tf.nn.depthwise_conv2d(image, filter, [1, 1, 1, 1], "SAME") * 1.0

        stocks, ours = tf.function(lambda: convolve()), tf.function(lambda: convolve())
        stocks_bits = stocks().numpy().tobytes()
        with swap.installed():
            ours_bits = ours().numpy().tobytes()
            self.assertEqual(stocks().numpy().tobytes(), stocks_bits)
        self.assertEqual(ours().numpy().tobytes(), ours_bits)
        self.assertNotEqual(ours_bits, stocks_bits)

    def test_what_is_traced_holds_stocks_ops(self):
        with swap.installed():
            graph = tf.function(lambda: all_three()).get_concrete_function().graph
        ops = {op.type for op in graph.get_operations() if "Depthwise" in op.type}
        self.assertEqual(ops, set(STOCK.values()))

    @parameterized.parameters(
        lambda image, filter: tf.nn.separable_conv2d(
            image, filter, tf.ones([1, 1, 6, 4]), [1, 1, 1, 1], "SAME"
        ),
        lambda image, filter: tf.compat.v1.nn.depthwise_conv2d_native(
            image, filter, [1, 1, 1, 1], "SAME"
        ),
        lambda image, filter: tf.raw_ops.DepthwiseConv2dNative(
            input=image, filter=filter, **ATTRIBUTES
        ),
        lambda image, filter: tf.compat.v1.raw_ops.DepthwiseConv2dNative(
            input=image, filter=filter, **ATTRIBUTES
        ),
        lambda image, filter: tf.nn.depthwise_conv2d(
            image, filter, [1, 1, 1, 1], "SAME", dilations=[2, 2]
        ),
        lambda image, filter: tf.nn.depthwise_conv2d(
            tf.Variable(image), tf.Variable(filter), [1, 1, 1, 1], "SAME"
        ),
        lambda image, filter: tf.nn.depthwise_conv2d(
            image.numpy(), filter.numpy(), [1, 1, 1, 1], "SAME"
        ),
    )
    def test_other_ways_to_the_op_eagerly(self, function):
        expected = function(IMAGE, FILTER)
        results = []
        with swap.installed():
            ran = executed.eagerly(lambda: results.append(function(IMAGE, FILTER)))
        self.assertEqual(ran, {OURS["forward"]: 1})
        self.assertAllClose(results[0], expected, rtol=1e-5, atol=1e-5)

    @parameterized.parameters("input_grad", "filter_grad")
    def test_raw_gradient_ops_eagerly(self, op):
        output = random(2, 9, 8, 6)
        tensors = {
            "input_grad": {"input_sizes": IMAGE.shape, "filter": FILTER, "out_backprop": output},
            "filter_grad": {"input": IMAGE, "filter_sizes": FILTER.shape, "out_backprop": output},
        }[op]

        def call():
            return getattr(tf.raw_ops, STOCK[op])(**tensors, **ATTRIBUTES)

        expected = call()
        results = []
        with swap.installed():
            self.assertEqual(executed.eagerly(lambda: results.append(call())), {OURS[op]: 1})
        self.assertAllClose(results[0], expected, rtol=1e-5, atol=1e-5)

    def test_in_control_flow_nested_functions_and_data(self):
        inner = tf.function(all_three)

        def branches(image):
            return tf.cond(tf.reduce_sum(image) > 1e9, lambda: image[..., :1], lambda: image + 0.0)

        @tf.function
        def loop(image):
            for _ in tf.range(2):
                output, gradient, _ = inner(branches(image))
                image += gradient * 1e-3 + output[..., :3]
            return image

        def data():
            def convolve(image):
                return tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME") * 2.0

            return next(iter(tf.data.Dataset.from_tensors(IMAGE).map(convolve)))

        expected = loop(IMAGE), data()
        with swap.installed():
            found = tf.function(loop.python_function), data()
            results = []
            ran = executed.in_graphs(lambda: results.append(found[0](IMAGE)))
            self.assertEqual(swap.report(found[0]).stock, 0)
            mapped = {e.where: (e.op, e.by) for e in swap.report().entries if "_map_" in e.where}
        # The inner function had run already, but as part of another it is optimized anew.
        self.assertEqual(ran, dict.fromkeys((OURS["forward"], OURS["input_grad"]), 1))
        self.assertIn(("forward", "ours"), mapped.values())
        for ours, stock in zip((results[0], found[1]), expected, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-4, atol=1e-4)

    @parameterized.product(
        ops=(swap.OPS, ("input_grad",), ("forward",), ("forward", "filter_grad")),
        function=(all_three, all_three_nested),
    )
    @pytest.mark.xla
    def test_compiled_by_xla(self, ops, function):
        expected = function()
        with swap.installed(ops):
            step = tf.function(lambda: function(), jit_compile=True)
            results = step()
            report = swap.report(step)
            program = step.experimental_get_compiler_ir()(stage="hlo")
        # Stock's are convolutions of XLA's, not custom calls.
        called = {op for op, name in OURS.items() if f'custom_call_target="{name}"' in program}
        self.assertEqual(called, set(ops))
        self.assertEqual({entry.op for entry in report.entries if entry.by == "ours"}, set(ops))
        self.assertEqual(
            {entry.op for entry in report.entries if entry.by == "stock"}, set(swap.OPS) - set(ops)
        )
        for ours, stock in zip(results, expected, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-5, atol=1e-5)

    def test_in_a_session(self):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session, swap.installed():
            image = tf.compat.v1.placeholder(tf.float32, IMAGE.shape)
            output = tf.nn.depthwise_conv2d(image, FILTER.numpy(), [1, 1, 1, 1], "SAME") * 2.0
            metadata = config_pb2.RunMetadata()
            options = config_pb2.RunOptions(output_partition_graphs=True)
            session.run(output, {image: IMAGE.numpy()}, options, metadata)
        ops = {node.op for graph in metadata.partition_graphs for node in graph.node}
        self.assertIn(OURS["forward"], ops)
        self.assertNotIn(STOCK["forward"], ops)

    def test_where_tensorflow_optimizes_no_graphs(self):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        self.addCleanup(
            tf.config.optimizer.set_experimental_options, {"disable_meta_optimizer": False}
        )
        with swap.installed(("forward", "input_grad")):
            step = tf.function(lambda: all_three())
            self.assertEqual(executed.in_graphs(step), names_of("forward", "input_grad"))
            self.assertEqual(swap.report(step).ours, 2)

    def test_differentiation_of_other_kinds(self):
        def jacobian(image):
            with tf.GradientTape() as tape:
                tape.watch(image)
                output = tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME")[:, 0, 0]
            return tape.jacobian(output, image)

        def forward_mode(image):
            with tf.autodiff.ForwardAccumulator(image, tf.ones_like(image)) as accumulator:
                output = tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME")
            return accumulator.jvp(output)

        def second_order(image):
            with tf.GradientTape() as outer:
                outer.watch(image)
                with tf.GradientTape() as inner:
                    inner.watch(image)
                    output = tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME") ** 3
                gradient = inner.gradient(output, image)
            return outer.gradient(gradient, image)

        for function in (jacobian, forward_mode, second_order):
            expected = function(IMAGE)
            for way, run in WAYS.items():
                with self.subTest(function.__name__, way=way), swap.installed():
                    results = []
                    ran = run(functools.partial(function, IMAGE), results)
                    self.assertAllClose(results[0], expected, rtol=1e-4, atol=1e-4)
                    self.assertContainsSubset(ran, OURS.values())


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
