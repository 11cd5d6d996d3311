"""The forward op with a bias and an activation: values, gradients, errors, under XLA too."""

import functools
import itertools
import math
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import oracle
from tf_dwbp import family, nn, ops
from tf_dwbp.tools import bounds, epilogue, problem

_RNG = np.random.default_rng(7)
_IMAGE = _RNG.standard_normal((2, 9, 8, 3)) * 2
_FILTER = _RNG.standard_normal((3, 2, 3, 2))
_BIAS = _RNG.standard_normal(6)
_ALPHA = 0.3
_NAMES = {tf.as_dtype(dtype): name for name, dtype in problem.DTYPES.items()}

# By stock's ops, for numbers that are finite.
_STOCK = {
    "linear": tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "elu": tf.nn.elu,
    "leaky_relu": functools.partial(tf.nn.leaky_relu, alpha=_ALPHA),
    "silu": tf.nn.silu,
    "hard_silu": lambda x: x * tf.nn.relu6(x + 3) / 6,
    # Not tf.nn.gelu, whose constants have float's precision for double, too.
    "gelu": lambda x: x * (1 + tf.math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
}


def _arguments(layout, strides=(2, 1), dilations=(1, 2)):
    order = (0, 1, 2, 3) if layout == "NHWC" else (0, 3, 1, 2)
    ordered = lambda values: [values[i] for i in order]  # noqa: E731
    return {
        "strides": ordered([1, *strides, 1]),
        "padding": "EXPLICIT",
        "explicit_paddings": [
            n for pair in ordered([[0, 0], [1, 2], [0, 3], [0, 0]]) for n in pair
        ],
        "data_format": layout,
        "dilations": ordered([1, *dilations, 1]),
    }


def _tensors(dtype, layout, image=_IMAGE):
    image = tf.cast(image, dtype)
    return oracle.nchw(image) if layout == "NCHW" else image, *(
        tf.cast(values, dtype) for values in (_FILTER, _BIAS)
    )


def _composed(image, filter, bias, activation, arguments):
    """The same by our forward op and stock's others."""
    sums = ops.depthwise_conv2d(image, filter, **arguments)
    if bias is not None:
        axis = 1 if arguments["data_format"] == "NCHW" else 3
        sums += tf.reshape(bias, [-1 if i == axis else 1 for i in range(4)])
    return _STOCK[activation](sums)


class FusedTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        activation=epilogue.ACTIVATIONS,
        layout=("NHWC", "NCHW"),
        dtype=tuple(_NAMES),
        with_bias=(True, False),
    )
    def test_rounds_once(self, activation, layout, dtype, with_bias):
        image, filter, bias = _tensors(dtype, layout)
        bias = bias if with_bias else None
        arguments = _arguments(layout)
        result = ops.fused_depthwise_conv2d(
            image, filter, bias, activation=activation, alpha=_ALPHA, **arguments
        )
        self.assertEqual(result.dtype, dtype)
        wide = [None if t is None else tf.cast(t, tf.float64) for t in (image, filter, bias)]
        expected = _composed(*wide, activation, arguments)
        given = {"input": image, "filter": filter} | ({} if bias is None else {"bias": bias})
        bound = bounds.expectation_of(
            _NAMES[dtype],
            "output",
            {role: tensor.numpy() for role, tensor in given.items()},
            image.shape,
            filter.shape,
            finish=epilogue.Epilogue(with_bias, activation, _ALPHA),
            **arguments,
        ).bound
        off = np.abs(tf.cast(result, tf.float64) - expected) / bound
        self.assertLessEqual(off.max(), 1)

    @parameterized.product(
        activation=epilogue.ACTIVATIONS, layout=("NHWC", "NCHW"), graph=(False, True)
    )
    def test_gradients_of_two_orders(self, activation, layout, graph):
        tensors = _tensors(tf.float64, layout)
        arguments = _arguments(layout)

        def gradients(function):
            def all_orders(*tensors):
                with tf.GradientTape() as outer:
                    outer.watch(tensors)
                    with tf.GradientTape() as inner:
                        inner.watch(tensors)
                        loss = tf.reduce_sum(function(*tensors) ** 3)
                    first = inner.gradient(loss, tensors)
                    squares = tf.add_n([tf.reduce_sum(g * g) for g in first])
                return *first, *outer.gradient(squares, tensors)

            return (tf.function(all_orders) if graph else all_orders)(*tensors)

        ours = gradients(
            lambda image, filter, bias: ops.fused_depthwise_conv2d(
                image, filter, bias, activation=activation, alpha=_ALPHA, **arguments
            )
        )
        expected = gradients(
            lambda image, filter, bias: _composed(image, filter, bias, activation, arguments)
        )
        for one, other in zip(ours, expected, strict=True):
            self.assertEqual(one.shape, other.shape)
            self.assertAllClose(one, other, rtol=1e-9, atol=1e-9)

    @parameterized.parameters(0.0, -0.5)
    def test_gradients_of_a_slope_that_is_not_positive(self, alpha):
        image, filter, bias = _tensors(tf.float64, "NHWC")
        arguments = _arguments("NHWC")
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((image, filter, bias))
            ours = ops.fused_depthwise_conv2d(
                image, filter, bias, activation="leaky_relu", alpha=alpha, **arguments
            )
            stock = tf.nn.leaky_relu(
                _composed(image, filter, bias, "linear", arguments), alpha=alpha
            )
        self.assertAllClose(ours, stock, rtol=1e-12, atol=1e-12)
        for one, other in zip(
            tape.gradient(ours, (image, filter, bias)),
            tape.gradient(stock, (image, filter, bias)),
            strict=True,
        ):
            self.assertAllClose(one, other, rtol=1e-9, atol=1e-9)

    def test_values_that_are_not_finite(self):
        values = tf.constant([-np.inf, np.inf, np.nan], tf.float32)
        image = tf.reshape(values, [1, 1, 3, 1])
        one = tf.ones([1, 1, 1, 1])
        expected = {
            "linear": (-np.inf, np.inf),
            "relu": (0, np.inf),
            "relu6": (0, 6),
            "elu": (-1, np.inf),
            "leaky_relu": (-np.inf, np.inf),
        }
        for activation in epilogue.ACTIVATIONS:
            result = nn.depthwise_conv2d(image, one, [1] * 4, "VALID", activation=activation)
            low, high, nan = result.numpy().ravel()
            self.assertEqual((low, high), expected.get(activation, (0, np.inf)), activation)
            self.assertTrue(np.isnan(nan), activation)

    def test_a_bias_where_nothing_is_summed(self):
        for layout in ("NHWC", "NCHW"):
            image = tf.zeros([2, 0, 4, 3] if layout == "NHWC" else [2, 3, 0, 4])
            paddings = [0, 0, 2, 1, 0, 0, 0, 0] if layout == "NHWC" else [0, 0, 0, 0, 2, 1, 0, 0]
            result = ops.fused_depthwise_conv2d(
                image,
                tf.ones([1, 1, 3, 1]),
                [-1.0, 0.0, 7.0],
                [1] * 4,
                "EXPLICIT",
                "relu6",
                explicit_paddings=paddings,
                data_format=layout,
            )
            result = oracle.nhwc(result) if layout == "NCHW" else result
            self.assertAllEqual(result, np.broadcast_to([0.0, 0.0, 6.0], (2, 3, 4, 3)))

    def test_one_op_of_the_public_function(self):
        @tf.function
        def function(image, filter, bias):
            return nn.depthwise_conv2d(image, filter, [1] * 4, "SAME", bias=bias, activation="silu")

        tensors = [tf.constant(values, tf.float32) for values in (_IMAGE, _FILTER, _BIAS)]
        graph = function.get_concrete_function(*tensors).graph
        types = [op.type for op in graph.get_operations()]
        self.assertEqual(types.count(family.OUR_FUSED), 1)
        self.assertNotIn(family.OPS["forward"].ours, types)
        plain = nn.depthwise_conv2d(*tensors[:2], [1] * 4, "SAME") + tensors[2]
        self.assertAllClose(function(*tensors), tf.nn.silu(plain), rtol=1e-5, atol=1e-5)

    def test_shapes_while_tracing(self):
        for image, filter, bias, expected in (
            ([None, None, None, 3], [3, 3, 3, 2], [None], [None, None, None, 6]),
            ([2, 8, 9, None], [None, None, None, None], [6], [2, 8, 9, 6]),
            (None, None, None, [None] * 4),
        ):
            specs = [tf.TensorSpec(shape, tf.float32) for shape in (image, filter, bias)]
            function = tf.function(
                lambda *tensors: ops.fused_depthwise_conv2d(*tensors, [1] * 4, "SAME", "gelu")
            )
            shape = function.get_concrete_function(*specs).output_shapes
            self.assertEqual(shape.as_list(), expected)

    @parameterized.parameters(
        ({"bias": tf.ones([5])}, r"each of the 6 channels of output \[2, 9, 8, 6\].*bias \[5\]"),
        ({"bias": tf.ones([1, 6])}, r"bias must have 1 dimension.*has 2: bias \[1, 6\]"),
        ({"bias": tf.ones([6], tf.half)}, "bias"),
        ({"activation": "Relu"}, "activation must be one of linear, relu, .*but is 'Relu'"),
        ({"activation": None}, "activation must be one of .*but is None"),
        ({"alpha": np.nan}, "alpha must be a finite number, but is nan"),
        ({"alpha": -np.inf}, "alpha must be a finite number, but is -inf"),
        ({"alpha": "0.2"}, "alpha must be a number, but is '0.2'"),
    )
    def test_refused(self, changed, why):
        arguments = {
            "input": tf.ones([2, 9, 8, 3]),
            "filter": tf.ones([3, 3, 3, 2]),
            "bias": None,
            "strides": [1] * 4,
            "padding": "SAME",
            "activation": "leaky_relu",
        }
        call = functools.partial(ops.fused_depthwise_conv2d, **arguments | changed)
        for function in (call, tf.function(call)):
            with self.assertRaisesRegex((ValueError, tf.errors.InvalidArgumentError), why):
                function()

    def test_two_biases_are_refused(self):
        from tf_dwbp._loaded import ops as raw

        ones = tf.ones([1, 3, 3, 1])
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, "bias must be one tensor at most, but there are 2"
        ):
            raw.tf_dwbp_fused_depthwise_conv2d_native(
                input=ones,
                filter=ones,
                bias=[tf.ones([1]), tf.ones([1])],
                strides=[1] * 4,
                padding="SAME",
            )

    @pytest.mark.xla
    def test_compiled(self):
        for activation, layout, dtype in itertools.product(
            epilogue.ACTIVATIONS, ("NHWC", "NCHW"), (tf.float32, tf.bfloat16)
        ):
            for bias_too in (True, False):
                image, filter, bias = _tensors(dtype, layout)

                def call(
                    image,
                    filter,
                    bias,
                    activation=activation,
                    layout=layout,
                    bias_too=bias_too,
                ):
                    return ops.fused_depthwise_conv2d(
                        image,
                        filter,
                        bias if bias_too else None,
                        activation=activation,
                        alpha=_ALPHA,
                        **_arguments(layout),
                    )

                compiled = tf.function(call, jit_compile=True)
                self.assertAllEqual(
                    compiled(image, filter, bias), call(image, filter, bias), activation
                )

    @pytest.mark.xla
    def test_compiled_gradients(self):
        tensors = _tensors(tf.float32, "NHWC")
        for activation in epilogue.ACTIVATIONS:

            def gradients(*tensors, activation=activation):
                with tf.GradientTape() as tape:
                    tape.watch(tensors)
                    result = ops.fused_depthwise_conv2d(
                        *tensors, activation=activation, alpha=_ALPHA, **_arguments("NHWC")
                    )
                return tape.gradient(result, tensors)

            compiled = tf.function(gradients, jit_compile=True)(*tensors)
            for one, other in zip(compiled, gradients(*tensors), strict=True):
                self.assertAllClose(one, other, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
