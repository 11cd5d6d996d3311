"""Bad input: a clear error that names argument, value and expectation, never an abort."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp import ops

# op -> its function, and good arguments: the tensors and sizes by name, then attributes.
_STEP = {"strides": [1, 1, 1, 1], "padding": "SAME"}
_INPUT = np.ones([2, 5, 6, 3], np.float32)
_FILTER = np.ones([3, 3, 3, 2], np.float32)
_OUT = np.ones([2, 5, 6, 6], np.float32)
OPS = {
    "forward": (ops.depthwise_conv2d, {"input": _INPUT, "filter": _FILTER} | _STEP),
    "input_grad": (
        ops.depthwise_conv2d_backprop_input,
        {"input_sizes": [2, 5, 6, 3], "filter": _FILTER, "out_backprop": _OUT} | _STEP,
    ),
    "filter_grad": (
        ops.depthwise_conv2d_backprop_filter,
        {"input": _INPUT, "filter_sizes": [3, 3, 3, 2], "out_backprop": _OUT} | _STEP,
    ),
}

ERRORS = (tf.errors.InvalidArgumentError, ValueError)
TOO_LARGE = 2**31


def _ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


# name -> what differs from good arguments, and what the error must say. These are of all ops, ...
ATTRIBUTES = {
    "strides_2": ({"strides": [1, 1]}, r"strides must have 4 elements.*has 2: \[1, 1\]"),
    "strides_0": ({"strides": []}, r"strides must have 4 elements.*has 0: \[\]"),
    "strides_5": ({"strides": [1] * 5}, "strides must have 4 elements.*has 5"),
    "stride_zero": ({"strides": [1, 0, 1, 1]}, r"strides must be between 1 and .*\[1, 0, 1, 1\]"),
    "stride_negative": ({"strides": [1, 1, -2, 1]}, r"strides must be between 1 .*-2"),
    "stride_large": ({"strides": [1, TOO_LARGE, 1, 1]}, f"strides must be between.*{TOO_LARGE}"),
    "stride_batch": ({"strides": [2, 1, 1, 1]}, r"strides must be 1 for batch.*\[2, 1, 1, 1\]"),
    "stride_depth": ({"strides": [1, 1, 1, 2]}, r"strides must be 1 for batch.*\[1, 1, 1, 2\]"),
    "dilations_2": ({"dilations": [1, 1]}, r"dilations must have 4 elements.*has 2: \[1, 1\]"),
    "dilations_0": ({"dilations": []}, "dilations must have 4 elements.*has 0"),
    "dilation_zero": ({"dilations": [1, 1, 0, 1]}, r"dilations must be between 1.*\[1, 1, 0, 1\]"),
    "dilation_negative": ({"dilations": [1, -1, 1, 1]}, "dilations must be between 1.*-1"),
    "dilation_large": ({"dilations": [1, TOO_LARGE, 1, 1]}, f"dilations must be.*{TOO_LARGE}"),
    "dilation_batch": ({"dilations": [2, 1, 1, 1]}, "dilations must be 1 for batch"),
    "dilation_depth": ({"dilations": [1, 1, 1, 2]}, "dilations must be 1 for batch"),
    "paddings_with_same": (
        {"explicit_paddings": [0, 0, 1, 1, 1, 1, 0, 0]},
        r"explicit_paddings must be empty unless padding is EXPLICIT.*SAME.*\[0, 0, 1, 1",
    ),
    "paddings_with_valid": (
        {"padding": "VALID", "explicit_paddings": [0] * 8},
        "explicit_paddings must be empty unless padding is EXPLICIT.*VALID",
    ),
    "paddings_missing": ({"padding": "EXPLICIT"}, "explicit_paddings must have 8 elements.*has 0"),
    "paddings_4": (
        {"padding": "EXPLICIT", "explicit_paddings": [1] * 4},
        "explicit_paddings must have 8 elements.*has 4",
    ),
    "paddings_negative": (
        {"padding": "EXPLICIT", "explicit_paddings": [0, 0, -1, 0, 0, 0, 0, 0]},
        "explicit_paddings must be between 0 and.*-1",
    ),
    "paddings_large": (
        {"padding": "EXPLICIT", "explicit_paddings": [0, 0, TOO_LARGE, 0, 0, 0, 0, 0]},
        f"explicit_paddings must be between 0 and.*{TOO_LARGE}",
    ),
    "paddings_batch": (
        {"padding": "EXPLICIT", "explicit_paddings": [1, 0, 0, 0, 0, 0, 0, 0]},
        "explicit_paddings must be 0 for batch and channels",
    ),
    "paddings_depth": (
        {"padding": "EXPLICIT", "explicit_paddings": [0, 0, 0, 0, 0, 0, 0, 1]},
        "explicit_paddings must be 0 for batch and channels",
    ),
    "padding_unknown": ({"padding": "FULL"}, "padding.*FULL.*SAME.*VALID.*EXPLICIT"),
    "layout_vect": ({"data_format": "NCHW_VECT_C"}, "data_format.*NCHW_VECT_C.*NHWC.*NCHW"),
    "layout_hwnc": ({"data_format": "HWNC"}, "data_format.*HWNC.*NHWC.*NCHW"),
}

# ... and these of one.
TENSORS = {
    "sizes_3": ({"input_sizes": [2, 5, 6]}, r"input_sizes must have 4 elements.*3: \[2, 5, 6\]"),
    "sizes_0": ({"input_sizes": np.zeros([0], np.int32)}, "input_sizes must have 4 elements"),
    "sizes_scalar": ({"input_sizes": 5}, "input_sizes must be a vector of 4"),
    "sizes_matrix": (
        {"input_sizes": [[2, 5], [6, 3]]},
        "input_sizes must be a vector of 4",
    ),
    "sizes_negative": (
        {"input_sizes": [2, -5, 6, 3]},
        r"input_sizes must not be negative.*\[2, -5, 6, 3\]",
    ),
    "sizes_past_63_bits": (
        {
            "input_sizes": [2**31 - 1] * 3 + [3],
            "filter": _ones(1, 1, 3, 0),
            "out_backprop": _ones(0, 1, 1, 0),
        },
        r"input_sizes \[2147483647, 2147483647, 2147483647, 3\] must have at most .* elements",
    ),
    "filter_rank_3": ({"filter": _ones(3, 3, 3)}, r"filter must have 4 dim.*3: filter \[3, 3, 3\]"),
    "filter_scalar": ({"filter": np.float32(1)}, "filter must have 4 dimensions.*has 0"),
    "out_rank_3": ({"out_backprop": _ones(5, 6, 6)}, "out_backprop must have 4 dimensions.*has 3"),
    "out_rank_5": ({"out_backprop": _ones(1, 2, 5, 6, 6)}, "out_backprop must have 4 dim.*has 5"),
    "filter_no_height": ({"filter": _ones(0, 3, 3, 2)}, r"filter \[0, 3, 3, 2\].*height between 1"),
    "filter_no_width": ({"filter": _ones(3, 0, 3, 2)}, r"filter \[3, 0, 3, 2\].*width between 1"),
    "channels": ({"input_sizes": [2, 5, 6, 4]}, r"input_sizes \[2, 5, 6, 4\] has 4 ch.*filter.* 3"),
    "out_channels": ({"out_backprop": _ones(2, 5, 6, 3)}, "out_backprop.* 6 channels, but has 3"),
    "batch": ({"out_backprop": _ones(3, 5, 6, 6)}, "out_backprop .*batch.* 2, but has 3"),
    "height": ({"out_backprop": _ones(2, 4, 6, 6)}, "out_backprop.* height of 5, but has 4"),
    "width": ({"out_backprop": _ones(2, 5, 9, 6)}, "out_backprop.* width of 6, but has 9"),
    "height_valid": ({"padding": "VALID"}, "out_backprop.* height of 3, but has 5"),
    "height_strided": (
        {"strides": [1, 2, 1, 1]},
        "out_backprop.* height of 3, but has 5.*stride 2",
    ),
    "width_dilated": (
        {"padding": "VALID", "dilations": [1, 1, 2, 1], "out_backprop": _ones(2, 3, 6, 6)},
        "out_backprop.* width of 2, but has 6.*dilation 2",
    ),
    "extent_past_64_bits": (
        {
            "padding": "VALID",
            "filter": _ones(2**31 - 1, 1, 3, 0),
            "dilations": [1, 2**31 - 1, 1, 1],
        },
        "out_backprop.* 0 channels, but has 6",
    ),
    "filter_past_32_bits": (
        {"filter": _ones(2**31, 1, 3, 0), "out_backprop": _ones(2, 5, 6, 0)},
        r"filter .*height between 1 and 2147483647, but has 2147483648",
    ),
}

FORWARD = {
    "input_rank_3": ({"input": _ones(5, 6, 3)}, r"input must have 4 dim.*3: input \[5, 6, 3\]"),
    "filter_rank_5": ({"filter": _ones(1, 3, 3, 3, 2)}, "filter must have 4 dimensions.*has 5"),
    "filter_no_width": ({"filter": _ones(3, 0, 3, 2)}, r"filter \[3, 0, 3, 2\].*width between 1"),
    "channels": ({"input": _ones(2, 5, 6, 4)}, r"input \[2, 5, 6, 4\] has 4 ch.*filter.* 3"),
    "layout": ({"data_format": "NCHW"}, r"input \[2, 5, 6, 3\] has 5 ch.*filter.* 3"),
}
FILTER_GRAD = {
    "sizes_3": ({"filter_sizes": [3, 3, 3]}, r"filter_sizes must have 4 elements.*3: \[3, 3, 3\]"),
    "sizes_scalar": ({"filter_sizes": 5}, "filter_sizes must be a vector of 4"),
    "sizes_negative": (
        {"filter_sizes": [3, -3, 3, 2]},
        r"filter_sizes must not be negative.*\[3, -3, 3, 2\]",
    ),
    "sizes_no_height": ({"filter_sizes": [0, 3, 3, 2]}, r"filter_sizes \[0, 3.*height between 1"),
    "input_rank_3": ({"input": _ones(5, 6, 3)}, "input must have 4 dimensions.*has 3"),
    "out_rank_3": ({"out_backprop": _ones(5, 6, 6)}, "out_backprop must have 4 dimensions.*has 3"),
    "channels": ({"input": _ones(2, 5, 6, 4)}, r"input \[2, 5, 6, 4\] has 4 ch.*filter_sizes.* 3"),
    "out_channels": ({"out_backprop": _ones(2, 5, 6, 3)}, "out_backprop.* 6 channels, but has 3"),
    "batch": ({"out_backprop": _ones(3, 5, 6, 6)}, "out_backprop .*batch.* 2, but has 3"),
    "height": ({"out_backprop": _ones(2, 4, 6, 6)}, "out_backprop.* height of 5, but has 4"),
    "width_valid": (
        {"padding": "VALID", "out_backprop": _ones(2, 3, 6, 6)},
        "width of 4, but has 6",
    ),
}
BAD = [
    (f"{op}_{name}", op, *row)
    for op, tensors in (("forward", FORWARD), ("input_grad", TENSORS), ("filter_grad", FILTER_GRAD))
    for name, row in (ATTRIBUTES | tensors).items()
]

TYPES = {
    "out_double": {"out_backprop": _ones(2, 5, 6, 6, dtype=np.float64)},
    "filter_half": {"filter": _ones(3, 3, 3, 2, dtype=np.float16)},
    "integers": {
        "filter": _ones(3, 3, 3, 2, dtype=np.int32),
        "out_backprop": _ones(2, 5, 6, 6, dtype=np.int32),
    },
    "sizes_float": {"input_sizes": tf.constant([2.0, 5, 6, 3])},
    "sizes_past_int32": {"input_sizes": [2, TOO_LARGE, 6, 3]},
}


def _call(changes, op="input_grad"):
    function, good = OPS[op]
    arguments = good | changes
    tensors = [name for name in ("input", "filter", "out_backprop") if name in arguments]
    return function(**arguments | {name: tf.convert_to_tensor(arguments[name]) for name in tensors})


def _call_with_unknown_shapes(changes, op="input_grad", jit_compile=False):
    """In a function that learns the shapes, and the value of sizes, only when it runs."""
    function, good = OPS[op]
    arguments = good | changes
    names = [name for name in good if name not in ("strides", "padding")]
    tensors = [tf.convert_to_tensor(arguments.pop(name)) for name in names]

    signature = [tf.TensorSpec(None, x.dtype) for x in tensors]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def traced(*tensors):
        return function(**dict(zip(names, tensors, strict=True)), **arguments)

    return traced(*tensors)


def _call_under_jit(changes, op="input_grad"):
    """In such a function that XLA compiles: the call is checked when it does."""
    return _call_with_unknown_shapes(changes, op, jit_compile=True)


class BadInputTest(tf.test.TestCase, parameterized.TestCase):
    def test_good_input_is_good(self):
        for call in (_call, _call_with_unknown_shapes):
            self.assertEqual(call({}, "forward").shape, _OUT.shape)
            self.assertEqual(call({}, "input_grad").shape, _INPUT.shape)
            self.assertEqual(call({}, "filter_grad").shape, _FILTER.shape)

    @parameterized.named_parameters(BAD)
    def test_eager(self, op, changes, message):
        with self.assertRaisesRegex(ERRORS, message):
            _call(changes, op)

    @parameterized.named_parameters(BAD)
    def test_function_with_unknown_shapes(self, op, changes, message):
        with self.assertRaisesRegex(ERRORS, message):
            _call_with_unknown_shapes(changes, op)

    @parameterized.named_parameters(BAD)
    @pytest.mark.xla
    def test_under_jit(self, op, changes, message):
        with self.assertRaisesRegex(ERRORS, message):
            _call_under_jit(changes, op)

    @pytest.mark.xla
    def test_good_input_is_good_under_jit(self):
        self.assertEqual(_call_under_jit({}, "forward").shape, _OUT.shape)
        self.assertEqual(_call_under_jit({}, "input_grad").shape, _INPUT.shape)
        self.assertEqual(_call_under_jit({}, "filter_grad").shape, _FILTER.shape)

    @parameterized.parameters(
        ("forward", {"filter": _ones(3, 3, 3, 2, dtype=np.float64)}, "input", "filter"),
        ("filter_grad", {"input": _ones(2, 5, 6, 3, dtype=np.float64)}, "input", "out_backprop"),
    )
    def test_types_of_the_other_ops(self, op, changes, first, second):
        for call in (_call, _call_with_unknown_shapes):
            with self.assertRaisesRegex(
                ValueError, f"{first} and {second} must be of the same type"
            ):
                call(changes, op)

    @parameterized.named_parameters(TYPES.items())
    def test_types(self, changes):
        # TensorFlow's own checks answer here; while tracing it raises TypeError for some.
        for call in (_call, _call_with_unknown_shapes):
            with self.assertRaises((*ERRORS, TypeError)):
                call(changes)

    def test_types_that_differ_are_named(self):
        for call in (_call, _call_with_unknown_shapes):
            with self.assertRaisesRegex(ValueError, "filter.*same type.*float32.*float64"):
                call(TYPES["out_double"])

    def test_attributes_past_int64(self):
        for name in ("strides", "dilations"):
            with self.assertRaises((*ERRORS, OverflowError)):
                _call({name: [1, 2**63, 1, 1]})

    @parameterized.parameters("sizes_3", "sizes_0", "sizes_matrix", "sizes_negative")
    def test_constant_sizes_in_a_function_with_unknown_shapes(self, name):
        sizes = TENSORS[name][0]["input_sizes"]
        function = tf.function(
            lambda filter, out_backprop: ops.depthwise_conv2d_backprop_input(
                sizes, filter, out_backprop, **_STEP
            )
        )
        unknown = tf.TensorSpec(None, tf.float32)
        with self.assertRaisesRegex(ERRORS, "input_sizes must (not be neg|be a vec|have 4)"):
            function.get_concrete_function(unknown, unknown)

    def test_more_than_the_memory(self):
        for call in (_call, _call_with_unknown_shapes):
            self._test_more_than_the_memory(call)

    @pytest.mark.xla
    def test_more_than_the_memory_under_jit(self):
        self._test_more_than_the_memory(_call_under_jit)

    def _test_more_than_the_memory(self, call):
        # With a multiplier of 0 the inputs are empty, however large the result.
        changes = {
            "input_sizes": [1, 2**31 - 1, 2**19, 512],
            "filter": _ones(1, 1, 512, 0),
            "out_backprop": _ones(1, 2**31 - 1, 2**19, 0),
        }
        with self.assertRaisesRegex(
            tf.errors.ResourceExhaustedError, r"input_sizes \[1, 2147483647, .*bytes.*memory"
        ):
            call(changes)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
