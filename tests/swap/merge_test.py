"""Our forward op, the bias and the activation that follow it: one op of ours, or left alone."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import executed
from swap_cases import FILTER, IMAGE, OURS, OptimizerTestCase
from tf_dwbp import family, ops, swap

_CPU = "/device:CPU:0"
_ACTIVATIONS = {
    "linear": tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "elu": tf.nn.elu,
    "leaky_relu": tf.nn.leaky_relu,
}


def _forward(image, name="forward", **attributes):
    return ops.depthwise_conv2d(image, FILTER.numpy(), [1] * 4, "SAME", name=name, **attributes)


def _chain(activation=tf.nn.relu, forward=_forward, layout="NHWC"):
    """In a graph: our forward op, a bias and an activation."""
    with tf.device(_CPU):
        sums = forward(tf.compat.v1.placeholder(tf.float32, IMAGE.shape))
        bias = tf.nn.bias_add(sums, tf.ones([6]), data_format=layout, name="biased")
        return sums, bias, activation(bias, name="last")


class MergeTest(OptimizerTestCase):
    def _ops(self, build, **options):
        """The depthwise ops and what may follow them, by name."""
        of_interest = {OURS["forward"], family.OUR_FUSED, "BiasAdd", "Relu", "Elu", "Softplus"}
        nodes = self.optimize(build, **options)
        return {name: node.op for name, (node, _) in nodes.items() if node.op in of_interest}, nodes

    @parameterized.parameters(*(name for name in _ACTIVATIONS if name != "linear"))
    def test_one_op(self, activation):
        def build():
            def after(*prints):
                return tf.control_dependencies([tf.print(name, name=name) for name in prints])

            with tf.device(_CPU):
                image, bias = (
                    tf.compat.v1.placeholder(tf.float32, shape) for shape in (IMAGE.shape, [6])
                )
                sums = _forward(image)
                with after("first", "second"):
                    biased = tf.nn.bias_add(sums, bias)
                with after("third"):
                    return _ACTIVATIONS[activation](biased, name="last") * 2.0

        found, nodes = self._ops(build)
        self.assertEqual(found, {"last": family.OUR_FUSED})
        node, _ = nodes["last"]
        data = [name for name in node.input if name[0] != "^"]
        self.assertEqual(node.input, [*data, "^first", "^second", "^third"])
        self.assertLen(data, 3)
        self.assertEqual(node.device, _CPU)
        self.assertEqual(node.attr["activation"].s.decode(), activation)
        self.assertAllClose(node.attr["alpha"].f, 0.2)
        self.assertIn(("last", "merged with the bias that follows it"), self.whys())

    def test_what_the_user_wants_stays(self):
        plain = {"forward": OURS["forward"], "biased": "BiasAdd", "last": "Relu"}
        for wanted, expected in (
            ("forward", plain),
            ("biased", {"biased": family.OUR_FUSED, "last": "Relu"}),
            ("last", {"last": family.OUR_FUSED}),
        ):
            found, _ = self._ops(lambda: _chain()[-1] * 2.0, wanted=[wanted])
            self.assertEqual(found, expected, wanted)

    def test_what_another_needs_stays(self):
        def sums_too():
            sums, _, last = _chain()
            return last + sums * 3.0

        def after_sums():
            sums, _, last = _chain()
            with tf.control_dependencies([sums]):
                return last + tf.compat.v1.placeholder(tf.float32, [])

        for build in (sums_too, after_sums):
            found, _ = self._ops(build)
            self.assertEqual(found["forward"], OURS["forward"], build.__name__)
            self.assertNotIn(family.OUR_FUSED, found.values())

    def test_the_sum_with_its_bias_is_needed(self):
        def biased_too():
            _, bias, last = _chain()
            return last + bias * 3.0

        found, nodes = self._ops(biased_too)
        self.assertEqual(found, {"biased": family.OUR_FUSED, "last": "Relu"})
        self.assertEqual(nodes["biased"][0].attr["activation"].s, b"linear")

    def test_another_activation_stays(self):
        found, _ = self._ops(lambda: _chain(tf.nn.softplus)[-1] * 2.0)
        self.assertEqual(found, {"biased": family.OUR_FUSED, "last": "Softplus"})

    def test_another_layout_or_device_stays(self):
        def other_layout():  # a bias for each of 9 rows
            with tf.device(_CPU):
                sums = _forward(tf.compat.v1.placeholder(tf.float32, IMAGE.shape))
                return tf.nn.bias_add(sums, tf.ones([9]), "NCHW", name="last") * 2.0

        def other_device():
            with tf.device(_CPU):
                sums = _forward(tf.compat.v1.placeholder(tf.float32, IMAGE.shape))
            with tf.device("/device:CPU:1"):
                return tf.nn.bias_add(sums, tf.ones([6]), name="last") * 2.0

        for build in (other_layout, other_device):
            found, _ = self._ops(build)
            self.assertEqual(found, {"forward": OURS["forward"], "last": "BiasAdd"})

    def test_only_if_the_forward_op_is_asked_for(self):
        found, _ = self._ops(lambda: _chain()[-1] * 2.0, ops=("input_grad", "filter_grad"))
        self.assertNotIn(family.OUR_FUSED, found.values())

    def test_graphs_of_several_processes_are_left_alone(self):
        def build():
            with tf.device("/job:worker/replica:0/task:1/device:CPU:0"):
                other = tf.compat.v1.placeholder(tf.float32, [])
            with tf.device("/job:worker/replica:0/task:0/device:CPU:0"):
                sums = _forward(tf.compat.v1.placeholder(tf.float32, IMAGE.shape))
                return tf.nn.bias_add(sums, tf.ones([6])) * other

        self.assertNotIn(family.OUR_FUSED, self._ops(build)[0].values())

    def test_what_another_is_placed_by_stays(self):
        def step(image):
            sums = ops.depthwise_conv2d(image, FILTER, [1] * 4, "SAME")
            bias = tf.nn.bias_add(sums, tf.ones([6]))
            with tf.compat.v1.colocate_with(sums.op):
                return tf.nn.softplus(bias)

        with swap.installed():
            function = tf.function(step)
            ran = executed.in_graphs(lambda: function(IMAGE))
        self.assertEqual(ran, {OURS["forward"]: 1})

    @parameterized.product(
        activation=tuple(_ACTIVATIONS), dtype=(tf.float32, tf.bfloat16, tf.float64)
    )
    def test_values_and_gradients(self, activation, dtype):
        tensors = [tf.cast(tensor, dtype) for tensor in (IMAGE, FILTER, tf.linspace(-1.0, 1.0, 6))]

        def step(image, filter, bias):  # noqa: A002
            with tf.GradientTape() as tape:
                tape.watch((image, filter, bias))
                sums = ops.depthwise_conv2d(image, filter, [1, 2, 2, 1], "SAME")
                result = _ACTIVATIONS[activation](tf.nn.bias_add(sums, bias))
                loss = tf.reduce_sum(result * result)
            return result, *tape.gradient(loss, (image, filter, bias))

        expected = step(*tensors)
        with swap.installed():
            function = tf.function(step)
            results = []
            ran = executed.in_graphs(lambda: results.extend(function(*tensors)))
            whys = [e.why for e in swap.report(function).entries if e.op == "forward"]
        self.assertEqual(ran.pop(family.OUR_FUSED), 1)
        self.assertEqual(ran, {OURS[op]: 1 for op in ("input_grad", "filter_grad")})
        self.assertEqual(whys, ["merged with the bias that follows it"])
        # The unmerged ones are rounded to the dtype after each op.
        unit = {2: 2**-8, 4: 2**-22, 8: 2**-51}[dtype.size]
        for one, other in zip(results, expected, strict=True):
            one, other = (tf.cast(tensor, tf.float64).numpy() for tensor in (one, other))
            self.assertAllClose(one, other, rtol=0, atol=4 * unit * np.abs(other).max())


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
