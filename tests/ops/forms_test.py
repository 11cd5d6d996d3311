"""The forms in which arguments may come, beside those that stock takes."""

import functools
import inspect
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tf_dwbp import _arguments, nn, ops

_X = np.arange(50, dtype=np.float32).reshape(1, 5, 5, 2)
_F = np.arange(18, dtype=np.float32).reshape(3, 3, 2, 1)
_ONES = [1, 1, 1, 1]
_LARGE = tf.ones([100, 100], tf.float64)
_ERRORS = (ValueError, tf.errors.InvalidArgumentError)


_INTS = {
    "tuple": tuple,
    "numpy": np.array,
    "numpy_bytes_swapped": lambda values: np.array(values, ">i4"),
    "numpy_ints": lambda values: [np.int64(value) for value in values],
    "numpy_scalars": lambda values: [np.array(value) for value in values],
    "tensor": tf.constant,
    "tensor_int64": lambda values: tf.constant(values, tf.int64),
    "tensors": lambda values: [*tf.constant(values)],
    "variable": tf.Variable,
    "shape": tf.TensorShape,
    "dimensions": lambda values: [tf.compat.v1.Dimension(value) for value in values],
}
_NO_INTS = {
    "none": None,
    "int": 1,
    "text": "1221",
    "texts": ["1"] * 4,
    "float": [1, 2.5, 2.5, 1],
    "whole_float": [1.0, 2.0, 2.0, 1.0],
    "numpy_floats": np.ones(4, np.float32),
    "numpy_bools": np.ones(4, bool),
    "tensor_of_floats": tf.constant([1.0, 2.0, 2.0, 1.0]),
    "tensor_of_bools": tf.constant([True] * 4),
    "matrix": np.array([[1, 2, 2, 1]]),
    "arrays": [np.array([1])] * 4,
    "unknown_shape": tf.TensorShape([1, None, 2, 1]),
    "dictionary": {1: 1},
    "many": [1] * 1000,
    "large_tensor": _LARGE,
    "past_int64": [1, 2**70, 1, 1],
}


_NO_TENSORS = {
    "none": None,
    "text": "abc",
    "texts": np.full(_X.shape, "1"),
    "objects": np.full(_X.shape, None),
    "complex": _X.astype(np.complex64),
    "long_double": _X.astype(np.longdouble),
    "ragged": tf.RaggedTensor.from_tensor(_X),
    "sparse": tf.sparse.from_dense(_X),
    "slices": tf.IndexedSlices(tf.constant(_X), tf.constant([0])),
    "specification": tf.TensorSpec(_X.shape),
    "dictionary": {"a": tf.constant(_X)},
    "list_of_texts": [["a"] * 1000],
}


class FormsTest(tf.test.TestCase, parameterized.TestCase):
    def _assert_refused(self, name, function, *arguments, **attributes):
        with self.assertRaisesRegex(_ERRORS, rf"\b{name} must ") as caught:
            function(*arguments, **attributes)
        self.assertLess(len(str(caught.exception)), 400)

    @parameterized.named_parameters(_INTS.items())
    def test_ints(self, form):
        for function in (ops.depthwise_conv2d, nn.depthwise_conv2d):
            expected = function(_X, _F, [1, 2, 2, 1], "SAME")
            self.assertAllEqual(function(_X, _F, form([1, 2, 2, 1]), "SAME"), expected)
        expected = tf.nn.depthwise_conv2d(_X, _F, _ONES, "SAME", None, [2, 1])
        for result in (
            ops.depthwise_conv2d(_X, _F, _ONES, "SAME", dilations=form([1, 2, 1, 1])),
            nn.depthwise_conv2d(_X, _F, _ONES, "SAME", dilations=form([2, 1])),
        ):
            self.assertAllClose(result, expected)
        paddings = form([0, 0, 1, 1, 1, 1, 0, 0])
        self.assertAllEqual(
            ops.depthwise_conv2d(_X, _F, _ONES, "EXPLICIT", paddings),
            ops.depthwise_conv2d(_X, _F, _ONES, "SAME"),
        )

    @parameterized.named_parameters(_NO_INTS.items())
    def test_no_ints(self, value):
        for function in (ops.depthwise_conv2d, nn.depthwise_conv2d):
            self._assert_refused("strides", function, _X, _F, value, "SAME")
        rest = (_X, _F, _ONES, "SAME")
        if value is not None:
            self._assert_refused("dilations", ops.depthwise_conv2d, *rest, dilations=value)
        if not isinstance(value, (int, type(None))):
            self._assert_refused("dilations", nn.depthwise_conv2d, *rest, dilations=value)

    @parameterized.parameters(
        (2,), (np.int32(2),), (np.array(2),), (tf.constant(2),), ((2,),), (tf.constant([2]),)
    )
    def test_one_dilation(self, dilations):
        self.assertAllEqual(
            nn.depthwise_conv2d(_X, _F, _ONES, "SAME", None, dilations),
            nn.depthwise_conv2d(_X, _F, _ONES, "SAME", None, [2, 2]),
        )

    @parameterized.parameters(
        (2.5,), (2.0,), (np.float32(2),), (tf.constant(2.0),), (np.array([[2]]),), ("2",)
    )
    def test_no_dilation(self, dilations):
        self._assert_refused(
            "dilations", nn.depthwise_conv2d, _X, _F, _ONES, "SAME", None, dilations
        )

    @parameterized.parameters(
        (np.array([[0, 0], [1, 1], [1, 1], [0, 0]]),),
        (tf.constant([[0, 0], [1, 1], [1, 1], [0, 0]]),),
        ([tf.constant([0, 0]), [1, 1], (1, tf.constant(1)), np.array([0, 0])],),
        (b"SAME",),
        (np.str_("SAME"),),
    )
    def test_paddings(self, padding):
        expected = nn.depthwise_conv2d(_X, _F, _ONES, "SAME")
        self.assertAllEqual(nn.depthwise_conv2d(_X, _F, _ONES, padding), expected)

    @parameterized.parameters(
        (None,), (_LARGE,), ("S" * 1000,), (3,), ([[0, 0], [0.5, 1], [1, 1], [0, 0]],), (b"\xff",)
    )
    def test_no_paddings(self, padding):
        self._assert_refused("padding", nn.depthwise_conv2d, _X, _F, _ONES, padding)
        if not isinstance(padding, bytes):  # TensorFlow's own check answers
            self._assert_refused("padding", ops.depthwise_conv2d, _X, _F, _ONES, padding)

    @parameterized.parameters((3,), (["NHWC"],), ("N" * 1000,), (_LARGE,))
    def test_no_data_format(self, value):
        for function in (ops.depthwise_conv2d, nn.depthwise_conv2d):
            self._assert_refused("data_format", function, _X, _F, _ONES, "SAME", data_format=value)

    def test_none_stands_for_a_default(self):
        none = dict.fromkeys(("explicit_paddings", "data_format", "dilations", "name"))
        expected = ops.depthwise_conv2d(_X, _F, _ONES, "SAME")
        self.assertAllEqual(ops.depthwise_conv2d(_X, _F, _ONES, "SAME", **none), expected)

    @parameterized.parameters(
        ((1, 5, 5, 2),),
        (tf.TensorShape([1, 5, 5, 2]),),
        (np.array([1, 5, 5, 2]),),
        (np.array([1, 5, 5, 2], ">i4"),),
        (np.array([1, 5, 5, 2], np.uint8),),
        ([tf.constant(1), 5, np.int64(5), 2],),
        (tf.Variable([1, 5, 5, 2]),),
    )
    def test_sizes(self, sizes):
        rest = (_F, _X, _ONES, "SAME")
        expected = ops.depthwise_conv2d_backprop_input([1, 5, 5, 2], *rest)
        call = functools.partial(ops.depthwise_conv2d_backprop_input, sizes, *rest)
        self.assertAllEqual(call(), expected)
        self.assertAllEqual(tf.function(call)(), expected)

    def test_sizes_become_a_tensor_once(self):
        sizes = functools.partial(_arguments.sizes, "input_sizes")
        made = sizes([1, 5, 5, 2])
        self.assertAllEqual(made, [1, 5, 5, 2])
        self.assertEqual(made.dtype, tf.int32)
        with tf.device("GPU:0"):
            self.assertIs(sizes((1, 5, 5, np.int64(2))), made)
        self.assertEndsWith(made.device, "CPU:0")
        self.assertAllEqual(sizes([1, 5, 5, 3]), [1, 5, 5, 3])
        with tf.Graph().as_default():  # whose shape functions can read a list
            self.assertEqual(sizes([1, 5, 5, 2]), [1, 5, 5, 2])
        with self.assertRaisesRegex(ValueError, "input_sizes must be a tensor of int32"):
            sizes([1.0, 5.0, 5.0, 2.0])

    @parameterized.parameters(
        (None,),
        ("1552",),
        ([1.0, 5.0, 5.0, 2.0],),
        (np.array([1.0, 5, 5, 2]),),
        ([2**40, 5, 5, 2],),  # which TensorFlow takes for 0
        (np.array([2**40, 5, 5, 2]),),
        (tf.TensorShape([None, 5, 5, 2]),),
        (tf.ragged.constant([[1, 5], [5]]),),
        ([1] * 1000,),
        (np.ones(100000, np.int32),),
    )
    def test_no_sizes(self, sizes):
        for call, *rest in (
            (ops.depthwise_conv2d_backprop_input, sizes, _F, _X),
            (ops.depthwise_conv2d_backprop_filter, _X, sizes, _X),
        ):
            name = "input_sizes" if rest[0] is sizes else "filter_sizes"
            self._assert_refused(name, call, *rest, _ONES, "SAME")

    @parameterized.parameters(
        (_X.tolist(),),
        (_X.astype(">f4"),),
        (np.asfortranarray(_X),),
        (_X[:, ::-1][:, ::-1],),
        (tf.Variable(_X),),
        ([tf.constant(_X[0])],),
    )
    def test_tensors(self, image):
        expected = ops.depthwise_conv2d(_X, _F, _ONES, "SAME")
        for function in (ops.depthwise_conv2d, nn.depthwise_conv2d):
            for filter in (_F, tf.constant(_F), _F.tolist(), _F.astype(">f4")):  # noqa: A001
                call = functools.partial(function, image, filter, _ONES, "SAME")
                self.assertAllEqual(call(), expected)
                self.assertAllEqual(tf.function(call)(), expected)

    def test_arrays_take_the_type_of_a_tensor(self):
        # As in tf.raw_ops; tf.nn keeps them as they are.
        x, f = tf.constant(_X), _F.astype(np.float64)
        expected = ops.depthwise_conv2d(x, _F, _ONES, "SAME")
        self.assertAllEqual(ops.depthwise_conv2d(x, f, _ONES, "SAME"), expected)
        self.assertAllEqual(
            tf.raw_ops.DepthwiseConv2dNative(input=x, filter=f, strides=_ONES, padding="SAME"),
            expected,
        )
        for call in (nn.depthwise_conv2d, tf.nn.depthwise_conv2d):
            with self.assertRaises(_ERRORS):
                call(x, f, _ONES, "SAME")

    @parameterized.named_parameters(_NO_TENSORS.items())
    def test_no_tensors(self, value):
        for function in (ops.depthwise_conv2d, nn.depthwise_conv2d):
            for filter in (_F, tf.constant(_F)):  # noqa: A001
                with self.assertRaisesRegex(_ERRORS, "^input (must|and filter must)") as caught:
                    function(value, filter, _ONES, "SAME")
                self.assertLess(len(str(caught.exception)), 400)

    def test_types_that_differ(self):
        for function in (ops.depthwise_conv2d, nn.depthwise_conv2d):
            with self.assertRaisesRegex(ValueError, "input is float32 and filter is float64$"):
                function(tf.constant(_X), _LARGE, _ONES, "SAME")

    @parameterized.parameters(_arguments, nn, ops)
    def test_autograph_converts_all_that_a_traced_function_calls(self, module):
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                tf.autograph.to_graph(function)  # raises where it would warn while tracing


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
