"""`tf_dwbp.swap.report` accounts for all that ran."""

import re
import sys
from unittest import mock

import pytest
import tensorflow as tf
from absl.testing import parameterized
from tensorflow.core.protobuf import config_pb2

import executed
from swap_cases import (
    FILTER,
    IMAGE,
    OURS,
    STOCK,
    SwapTestCase,
    all_three,
)
from tf_dwbp import nn, swap
from tf_dwbp.swap import plug_in


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
        late = plug_in.Registration(uid=10**9)
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

    @parameterized.parameters(False, True)
    def test_sessions_are_told_apart(self, plug_in_too):
        def run(**options):
            config = config_pb2.ConfigProto()
            for name, value in options.items():
                setattr(config.graph_options.rewrite_options, name, value)
            with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
                image = tf.compat.v1.placeholder(tf.float32, IMAGE.shape)
                output = tf.nn.depthwise_conv2d(image, FILTER.numpy(), [1] * 4, "SAME")
                metadata = config_pb2.RunMetadata()
                options = config_pb2.RunOptions(output_partition_graphs=True)
                session.run(tf.tanh(output), {image: IMAGE.numpy()}, options, metadata)
            return [n.op for g in metadata.partition_graphs for n in g.node if "Depthw" in n.op]

        def sessions():
            report = swap.report()
            return [e for e in report.entries if "session" in e.where]

        before = len(sessions())
        with swap.installed(("forward",) if plug_in_too else ("input_grad",)):
            ran = run() + run(disable_meta_optimizer=True)
            with swap.installed():
                ran += run(disable_meta_optimizer=True)
        new = sessions()[before:]
        names = {"ours": OURS["forward"], "stock": STOCK["forward"]}
        ran = [re.sub("^_Mkl(Native)?", "", op) for op in ran]
        self.assertCountEqual(ran, [names[entry.by] for entry in new])
        self.assertLen(new, 3)
        self.assertLen({entry.where for entry in new}, 3)
        self.assertEqual([op == OURS["forward"] for op in ran], [plug_in_too, plug_in_too, True])

    def test_the_trace_that_made_variables_is_replaced(self):
        variables = []

        @tf.function
        def convolve(image):
            if not variables:
                variables.append(tf.Variable(FILTER))
            return inner(image)

        @tf.function
        def inner(image):
            return tf.nn.depthwise_conv2d(image, variables[0], [1] * 4, "SAME") * 2.0

        with swap.installed():
            convolve(IMAGE)
        self.assertGreater(len(convolve._list_all_concrete_functions()), 1)
        for function in (convolve, inner):
            report = swap.report(function)
            self.assertEqual((report.ours, report.stock, report.undecided), (1, 0, 0), report)

    def test_a_trace_of_another_signature_that_has_not_run_is_undecided(self):
        function = tf.function(lambda i: tf.nn.depthwise_conv2d(i, FILTER, [1] * 4, "SAME") * 2.0)
        with swap.installed():
            function(IMAGE)
        function.get_concrete_function(tf.TensorSpec([1, 4, 4, 3]))
        report = swap.report(function)
        self.assertEqual((report.ours, report.stock, report.undecided), (1, 0, 1), report)

    def test_a_function_whose_ops_tensorflow_removed_has_none(self):
        def unused(image):
            tf.nn.depthwise_conv2d(image, FILTER, [1] * 4, "SAME")
            return image * 2.0

        with swap.installed():  # from now on what becomes of functions is known
            pass
        function = tf.function(unused)
        function(IMAGE)
        self.assertEmpty(swap.report(function).entries)

    def test_graphs_made_ready_twice_with_another_result_count_twice(self):
        inner = tf.function(
            lambda image: tf.nn.depthwise_conv2d(image, FILTER, [1] * 4, "SAME") * 2.0,
            experimental_attributes={"_noinline": True},
        )
        with swap.installed():
            tf.function(lambda: inner(IMAGE))()
        tf.function(lambda: inner(IMAGE) + 1.0)()
        report = swap.report(inner)
        self.assertEqual((report.ours, report.stock, report.undecided), (1, 1, 0), report)

    def test_of_anything_else(self):
        with self.assertRaisesRegex(ValueError, "report\\(\\) takes .* but got 3"):
            swap.report(3)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
