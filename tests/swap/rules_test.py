"""What a renamed node keeps, and which nodes are left alone."""

import sys

import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.python.framework import test_util

import executed
from swap_cases import (
    FILTER,
    IMAGE,
    OURS,
    STOCK,
    OptimizerTestCase,
)
from tf_dwbp import family, swap


class RulesTest(OptimizerTestCase):
    """What a renamed node keeps, and which are left alone."""

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

        nodes = self.optimize(build)
        self.assertIn("^before", " ".join(nodes["second"][1].input))
        for name, (node, original) in nodes.items():
            if name in ("first", "second"):
                self.assertEqual((original.op, node.op), (STOCK["forward"], OURS["forward"]))
                node.op = original.op
                del node.attr["_tf_dwbp_renamed"]
            self.assertEqual(node, original)

    def test_devices_without_a_kernel_are_left_alone(self):
        for devices in (("CPU", "TPU"), ("TPU", "CPU")):
            nodes = self.optimize(
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
            self.assertIn((left, "no kernel of ours for TPU and this type"), self.whys())

    def test_graphs_on_gpus_alone_are_seen(self):
        nodes = self.optimize(
            lambda: self._convolve("node", "/device:GPU:0") * self._convolve("other", "/GPU:0")
        )
        node, _ = nodes["node"]
        has_kernel = any(kernel.device_type == "GPU" for kernel in _kernels(OURS["forward"]))
        self.assertEqual(node.op, (OURS if has_kernel else STOCK)["forward"])
        self.assertIn("node", [name for name, _ in self.whys()])

    def test_graphs_of_several_processes_are_left_alone(self):
        task = "/job:worker/replica:0/task:{}/device:CPU:0"
        nodes = self.optimize(
            lambda: (
                self._convolve(
                    "second", task.format(1), self._convolve("first", task.format(0))[..., :3] * 2.0
                )
                * 2.0
            )
        )
        for name in ("first", "second"):
            self.assertEqual(nodes[name][0].op, STOCK["forward"])
            self.assertIn((name, "the graph spans several processes"), self.whys())

    @parameterized.named_parameters(
        ("alone", tf.identity),
        ("relu", tf.nn.relu),
        ("relu6", tf.nn.relu6),
        ("elu", tf.nn.elu),
    )
    def test_what_stock_fuses_stays_fused(self, activation):
        def convolve(image):
            output = tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME")
            return activation(tf.nn.bias_add(output, tf.ones([6]) * 0.5))

        expected = convolve(IMAGE)
        with swap.installed():
            fused = tf.function(convolve)
            ran = executed.in_graphs(lambda: fused(IMAGE))
            self.assertAllClose(fused(IMAGE), expected, rtol=1e-5, atol=1e-5)
            (entry,) = swap.report(fused).entries
        self.assertEqual(list(ran), [family.OUR_FUSED])
        self.assertEqual((entry.op, entry.by), ("forward", "ours"))
        # By stock, or by us where it does not fuse, since oneDNN is off.
        how = "renamed" if test_util.IsMklEnabled() else "merged"
        self.assertIn(f"{how} with the bias", entry.why)

    def test_what_stock_fuses_is_stocks_if_only_gradients_are_asked_for(self):
        def convolve(image):
            output = tf.nn.depthwise_conv2d(image, FILTER, [1, 1, 1, 1], "SAME")
            return tf.nn.relu(tf.nn.bias_add(output, tf.ones([6])))

        with swap.installed(("input_grad", "filter_grad")):
            fused = tf.function(convolve)
            ran = executed.in_graphs(lambda: fused(IMAGE))
            (entry,) = swap.report(fused).entries
        if list(ran) == [STOCK["forward"]]:
            self.skipTest("TensorFlow does not fuse on this machine: oneDNN is off")
        self.assertEqual(list(ran), [family.FUSED])
        self.assertEqual((entry.op, entry.by), ("forward", "stock"))
        self.assertTrue(entry.fused)


def _kernels(op):
    from tensorflow.python.framework import kernels

    return kernels.get_registered_kernels_for_op(op).kernel


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
