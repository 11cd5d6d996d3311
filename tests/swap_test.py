"""`tf_dwbp.swap`: who computes what, by TensorFlow's own account, and that nothing is left."""

import functools
import sys
import threading
from unittest import mock

import executed
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import cluster, tf_optimizer
from tensorflow.python.ops import gen_nn_ops

from tf_dwbp import family, nn, swap
from tf_dwbp.swap import plug_in

STOCK = {op: names.stock for op, names in family.OPS.items()}
OURS = {op: f"TfDwbp>{name}" for op, name in STOCK.items()}
_ATTRIBUTES = {"strides": [1, 1, 1, 1], "padding": "SAME"}


def _random(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape), tf.float32)


IMAGE, FILTER = _random(2, 9, 8, 3), _random(3, 3, 3, 2)


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


def _patched():
    """What is in the places of TensorFlow's that may be patched."""
    keras_nn = sys.modules["keras.src.backend.tensorflow.nn"]
    modules = [gen_nn_ops, keras_nn, *(api.raw_ops for api in (tf, tf.compat.v1, tf.compat.v2))]
    return {
        (module.__name__, name): value for module in modules for name, value in vars(module).items()
    }


def _names(*ops):
    return {(OURS if op in ops else STOCK)[op]: 1 for op in swap.OPS}


def _in_graphs(function, results=None):
    """Traces the function anew, runs it, and tells which ops ran."""
    traced = tf.function(lambda: function())
    results = [] if results is None else results
    return executed.in_graphs(lambda: results.append(traced()))


def _eagerly(function, results=None):
    results = [] if results is None else results
    return executed.eagerly(lambda: results.append(function()))


WAYS = {"in_graphs": _in_graphs, "eagerly": _eagerly}


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
            self.assertEqual(ran, _names(*ops))
        for ours, stock in zip(results[0], expected, strict=True):
            self.assertAllClose(ours, stock, rtol=1e-5, atol=1e-5)

    @parameterized.parameters(*WAYS)
    def test_without_an_install_stocks_run(self, way):
        with swap.installed():
            all_three()
        self.assertEqual(WAYS[way](all_three), _names())

    def test_traced_before_and_run_after_is_ours(self):
        step = tf.function(lambda: all_three()).get_concrete_function()
        with swap.installed():
            self.assertEqual(executed.in_graphs(step), _names(*swap.OPS))

    def test_what_has_run_keeps_what_it_has(self):
        # Stock sums half in half, so that the bits tell who did.
        image, filter = tf.cast(IMAGE, tf.half), tf.cast(FILTER, tf.half)  # noqa: A001

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
            input=image, filter=filter, **_ATTRIBUTES
        ),
        lambda image, filter: tf.compat.v1.raw_ops.DepthwiseConv2dNative(
            input=image, filter=filter, **_ATTRIBUTES
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
        output = _random(2, 9, 8, 6)
        tensors = {
            "input_grad": {"input_sizes": IMAGE.shape, "filter": FILTER, "out_backprop": output},
            "filter_grad": {"input": IMAGE, "filter_sizes": FILTER.shape, "out_backprop": output},
        }[op]

        def call():
            return getattr(tf.raw_ops, STOCK[op])(**tensors, **_ATTRIBUTES)

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
            self.assertEqual(executed.in_graphs(step), _names("forward", "input_grad"))
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


class RulesTest(SwapTestCase):
    """What a renamed node keeps, and which are left alone, on graphs for any machine."""

    def _optimize(self, build):
        """The nodes by name, optimized with our ops installed and without."""
        with tf.Graph().as_default():
            result = build()
            meta_graph = tf.compat.v1.train.export_meta_graph()
        meta_graph.collection_def["train_op"].node_list.value.append(result.op.name)
        config = config_pb2.ConfigProto()
        config.graph_options.rewrite_options.min_graph_nodes = -1
        without = tf_optimizer.OptimizeGraph(config, meta_graph, cluster=cluster.Cluster())
        with swap.installed():
            optimized = tf_optimizer.OptimizeGraph(config, meta_graph, cluster=cluster.Cluster())
        originals = {node.name: node for node in without.node}
        return {node.name: (node, originals[node.name]) for node in optimized.node}

    def _whys(self):
        return {
            (entry.node, entry.why)
            for entry in swap.report().entries
            if entry.where == "graph_to_optimize"
        }

    def _convolve(self, name, device="/device:CPU:0", image=None):
        with tf.device(device):
            if image is None:
                image = tf.compat.v1.placeholder(tf.float32, IMAGE.shape)
            return tf.nn.depthwise_conv2d(
                image, tf.constant(FILTER.numpy()), [1, 1, 1, 1], "SAME", name=name
            )

    def test_all_else_about_a_node_stays(self):
        def build():
            first = self._convolve("first")
            image, filter = first[..., :3] * 2.0, tf.constant(FILTER.numpy())  # noqa: A001
            before = tf.print("before", name="before")
            with (
                tf.device("/device:CPU:0"),
                tf.compat.v1.colocate_with(first.op),
                tf.control_dependencies([before]),
            ):
                second = tf.nn.depthwise_conv2d(image, filter, [1] * 4, "SAME", name="second")
            return second * 2.0

        nodes = self._optimize(build)
        self.assertIn("^before", " ".join(nodes["second"][1].input))
        for name, (node, original) in nodes.items():
            if name in ("first", "second"):
                self.assertEqual((original.op, node.op), (STOCK["forward"], OURS["forward"]))
                node.op = original.op
            self.assertEqual(node, original)

    def test_devices_without_a_kernel_are_left_alone(self):
        for devices in (("CPU", "TPU"), ("TPU", "CPU")):
            nodes = self._optimize(
                lambda devices=devices: (
                    self._convolve(
                        "second",
                        f"/device:{devices[1]}:0",
                        self._convolve("first", f"/device:{devices[0]}:0")[..., :3] * 2.0,
                    )
                    * 2.0
                )
            )
            for name, device in zip(("first", "second"), devices, strict=True):
                node, _ = nodes[name]
                self.assertEqual(node.op, (OURS if device == "CPU" else STOCK)["forward"])
                self.assertEqual(node.device, f"/device:{device}:0")
            left = ("first", "second")[devices.index("TPU")]
            self.assertIn((left, "no kernel of ours for TPU and this type"), self._whys())

    def test_graphs_on_gpus_alone_are_seen(self):
        nodes = self._optimize(
            lambda: self._convolve("node", "/device:GPU:0") * self._convolve("other", "/GPU:0")
        )
        node, _ = nodes["node"]
        has_kernel = any(kernel.device_type == "GPU" for kernel in _kernels(OURS["forward"]))
        self.assertEqual(node.op, (OURS if has_kernel else STOCK)["forward"])
        self.assertIn("node", [name for name, _ in self._whys()])

    def test_graphs_of_several_processes_are_left_alone(self):
        task = "/job:worker/replica:0/task:{}/device:CPU:0"
        nodes = self._optimize(
            lambda: (
                self._convolve(
                    "second", task.format(1), self._convolve("first", task.format(0))[..., :3] * 2.0
                )
                * 2.0
            )
        )
        for name in ("first", "second"):
            self.assertEqual(nodes[name][0].op, STOCK["forward"])
            self.assertIn((name, "the graph spans several processes"), self._whys())

    def test_what_stock_fuses_stays_fused(self):
        def convolve(image):
            output = tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME")
            return tf.nn.relu6(tf.nn.bias_add(output, tf.ones([6])))

        expected = convolve(IMAGE)
        with swap.installed():
            fused = tf.function(convolve)
            ran = executed.in_graphs(lambda: fused(IMAGE))
            self.assertAllClose(fused(IMAGE), expected, rtol=1e-5, atol=1e-5)
            (entry,) = swap.report(fused).entries
        if list(ran) == [OURS["forward"]]:
            self.skipTest("TensorFlow does not fuse on this machine: oneDNN is off")
        self.assertEqual(list(ran), [family.FUSED])
        self.assertEqual((entry.op, entry.by), ("forward", "stock"))
        self.assertIn("fused", entry.why)


def _kernels(op):
    from tensorflow.python.framework import kernels

    return kernels.get_registered_kernels_for_op(op).kernel


class InstallTest(SwapTestCase):
    def _ran(self):
        """Which forward op a new function and an eager call run."""

        def convolve():
            return tf.nn.depthwise_conv2d(IMAGE, FILTER, [1, 1, 1, 1], "SAME") * 2.0

        (graph,), (eager,) = (run(convolve) for run in WAYS.values())
        self.assertEqual(graph, eager)
        return graph

    def test_install_and_uninstall(self):
        swap.install()
        self.assertEqual(self._ran(), OURS["forward"])
        self.assertIsNot(gen_nn_ops.depthwise_conv2d_native, self._original())
        swap.uninstall()
        self.assertEqual(self._ran(), STOCK["forward"])

    def _original(self):
        return self.before["tensorflow.python.ops.gen_nn_ops", "depthwise_conv2d_native"]

    def test_is_counted(self):
        swap.install()
        swap.install()
        with swap.installed(), swap.installed(("input_grad",)):
            swap.uninstall()
            self.assertEqual(self._ran(), OURS["forward"])
            swap.uninstall()
            self.assertEqual(self._ran(), OURS["forward"])
            with self.assertRaisesRegex(RuntimeError, "without an install"):
                swap.uninstall()
        self.assertEqual(self._ran(), STOCK["forward"])

    def test_what_any_asks_for_is_swapped(self):
        with swap.installed(("input_grad",)):
            self.assertEqual(self._ran(), STOCK["forward"])
            with swap.installed(("forward",)):
                self.assertEqual(_eagerly(all_three), _names("forward", "input_grad"))
            self.assertEqual(self._ran(), STOCK["forward"])

    def test_nothing_is_left_after_an_exception(self):
        with self.assertRaisesRegex(KeyError, "inside"), swap.installed():
            raise KeyError("inside")
        self.assertEqual(self._ran(), STOCK["forward"])

    def test_a_function_kept_from_meanwhile_is_stocks_again(self):
        with swap.installed():
            kept = tf.raw_ops.DepthwiseConv2dNative
        before = str(swap.report())
        ran = _eagerly(lambda: kept(input=IMAGE, filter=FILTER, **_ATTRIBUTES))
        self.assertEqual(ran, {STOCK["forward"]: 1})
        self.assertEqual(str(swap.report()), before)

    def test_who_patched_the_same_place_since_is_left_alone(self):
        with swap.installed():
            stand_in = gen_nn_ops.depthwise_conv2d_native

            def theirs(*args, **kwargs):
                return stand_in(*args, **kwargs)

            gen_nn_ops.depthwise_conv2d_native = theirs
        self.assertIs(gen_nn_ops.depthwise_conv2d_native, theirs)
        self.assertEqual(self._ran(), STOCK["forward"])
        gen_nn_ops.depthwise_conv2d_native = self._original()

    def test_threads(self):
        errors = []

        def work():
            try:
                for _ in range(20):
                    with swap.installed():
                        results = all_three()
                    for got, expected in zip(results, stocks, strict=True):
                        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
            except BaseException as error:
                errors.append(error)

        stocks = all_three()
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.assertEqual(self._ran(), STOCK["forward"])

    @parameterized.parameters((("backward",), "backward"), ((), r"\(\)"), ("input", "input"))
    def test_ops_must_be_the_familys(self, ops, value):
        with self.assertRaisesRegex(ValueError, f"ops must be some of forward.*but is.*{value}"):
            swap.install(ops)
        with self.assertRaisesRegex(ValueError, "ops must be some of"), swap.installed(ops):
            pass

    def test_bad_calls_are_refused_as_by_stock(self):
        for call in (
            lambda: tf.raw_ops.DepthwiseConv2dNative(IMAGE, FILTER),
            lambda: tf.raw_ops.DepthwiseConv2dNative(input=IMAGE, filters=FILTER),
            lambda: gen_nn_ops.depthwise_conv2d_native(IMAGE, FILTER),
        ):
            with self.assertRaises(TypeError) as expected:
                call()
            with self.assertRaises(TypeError) as found, swap.installed():
                call()
            self.assertEqual(str(found.exception), str(expected.exception))
        bad = {"strides": [1, 0, 0, 1], "padding": "SAME"}
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "strides"), swap.installed():
            tf.raw_ops.DepthwiseConv2dNative(input=IMAGE, filter=FILTER, **bad)


class ReportTest(SwapTestCase):
    def test_tells_what_tensorflow_runs(self):
        with swap.installed(("forward", "filter_grad")):
            step = tf.function(lambda: all_three())
            ran = executed.in_graphs(step)
            for of in (step, step.get_concrete_function()):
                report = swap.report(of)
                names = {"ours": OURS, "stock": STOCK}
                self.assertEqual(
                    {names[entry.by][entry.op]: entry.count for entry in report.entries}, ran
                )
                self.assertEqual((report.ours, report.stock, report.undecided), (2, 1, 0))
        self.assertEqual({e.why for e in report.entries if e.by == "ours"}, {"renamed"})
        self.assertIn("2 ours, 1 stock's", str(report))
        self.assertRegex(str(report), r"stock +input_grad +1  in \S+: not among the ops")

    def test_our_own_functions_count_as_ours(self):
        explicit = tf.function(lambda: nn.depthwise_conv2d(IMAGE, FILTER, [1] * 4, "SAME") * 2.0)
        swap.report()
        explicit()
        self.assertEqual(
            [(e.by, e.why) for e in swap.report(explicit).entries], [("ours", "traced so")]
        )

    def test_functions_that_have_not_run_are_undecided(self):
        swap.report()  # from here on, at the latest, functions count as new
        step = tf.function(lambda: all_three())
        step.get_concrete_function()
        report = swap.report(step)
        self.assertEqual((report.ours, report.stock, report.undecided), (0, 0, 3))
        self.assertIn("not run yet", report.entries[0].why)

    def test_functions_from_before_the_first_install_may_have_run(self):
        step = tf.function(lambda: all_three())
        step.get_concrete_function()
        late = plug_in.Registration(None, uid=10**9)
        with mock.patch.object(plug_in, "register", return_value=late):
            report = swap.report(step)
        self.assertEqual(report.undecided, 3)
        self.assertIn("traced before the first install()", report.entries[0].why)

    def test_functions_that_only_ran_as_part_of_another(self):
        inner = tf.function(
            lambda image: tf.nn.depthwise_conv2d(image, FILTER, [1] * 4, "SAME") * 2.0
        )
        with swap.installed():
            tf.function(lambda: inner(IMAGE) + 1.0)()
        report = swap.report(inner)
        self.assertEqual((report.ours, report.stock, report.undecided), (1, 0, 0))

    def test_functions_under_a_tape_outside_of_them(self):
        with swap.installed():
            inner = tf.function(
                lambda image: tf.nn.depthwise_conv2d(image, FILTER, [1] * 4, "SAME") * 2.0
            )
            with tf.GradientTape() as tape:
                tape.watch(IMAGE)
                output = inner(IMAGE)
            tape.gradient(output, IMAGE)
            report = swap.report(inner)
        self.assertContainsSubset(
            {("forward", "ours"), ("input_grad", "ours")},
            {(entry.op, entry.by) for entry in report.entries},
        )

    def test_the_process_with_eager_calls(self):
        def calls():
            return {
                (entry.op, entry.by): entry.count
                for entry in swap.report().entries
                if entry.where == "eager calls"
            }

        before = calls()
        with swap.installed(("input_grad",)):
            all_three()
            all_three()
        after = calls()
        for key in (("forward", "stock"), ("input_grad", "ours"), ("filter_grad", "stock")):
            self.assertEqual(after[key] - before.get(key, 0), 2, key)

    def test_of_anything_else(self):
        with self.assertRaisesRegex(ValueError, "report\\(\\) takes .* but got 3"):
            swap.report(3)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
