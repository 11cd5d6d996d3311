"""BatchNormalization by TensorFlow's fused op is what Keras's layer is."""

import contextlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import batch_norm_cases as cases
from tf_dwbp import swap

try:
    import tf_keras
except ImportError:
    tf_keras = None


def _entries():
    return {(e.layer, e.why): e.count for e in swap.report().batch_norms}


@contextlib.contextmanager
def _counted(found):
    """What the report counts meanwhile: reasons, "" for the fused op."""
    before = _entries()
    yield
    for key, count in _entries().items():
        found += [key[1]] * (count - before.get(key, 0))


def _unknown_shapes(step):
    def with_specs(inputs, grads):
        specs = [
            tf.TensorSpec([None] * (len(t.shape) - 1) + [t.shape[-1]], t.dtype)
            for t in (inputs, grads)
        ]
        return tf.function(step, input_signature=specs)(inputs, grads)

    return with_specs


_WAYS = {"eager": lambda step: step, "function": tf.function, "unknown_shapes": _unknown_shapes}
_SHAPES = ([4, 5, 6, 7], [300, 3], [6, 9, 5], [2, 3, 4, 5, 6], [2, 1, 1, 1])


class OracleTest(tf.test.TestCase, parameterized.TestCase):
    """Outputs, gradients and statistics, beside those of Keras's own layer in float64."""

    def _assert_right(self, package, inputs, grads, dtype, wrap=lambda step: step, **options):
        found, rank, channels = [], len(inputs.shape), inputs.shape[-1]
        epsilon = options.get("epsilon", cases.EPSILON)
        with swap.installed(batch_norm=True), _counted(found):
            layer = cases.layer_of(package, channels, dtype, rank=rank, **options)
            results = cases.train(layer, inputs, grads, wrap)
        self.assertEqual(found, [""])
        oracle = cases.layer_of(package, channels, "float64", rank=rank, **options)
        inputs, grads = (tf.cast(tensor, tf.float64) for tensor in (inputs, grads))
        bounds = cases.bounds(oracle, inputs.numpy(), grads.numpy(), dtype, epsilon)
        expected = cases.train(oracle, inputs, grads)
        self.assertEqual(results.keys(), expected.keys())
        for name, value in expected.items():
            self.assertEqual(results[name].shape, value.shape)
            excess = np.abs(results[name] - value) / bounds[name]
            self.assertLessEqual(np.max(excess), 1, name)

    @parameterized.product(shape=_SHAPES, dtype=tuple(cases.UNITS), way=tuple(_WAYS))
    def test_shapes_and_types(self, shape, dtype, way):
        inputs, grads = (cases.random(shape, dtype, seed=seed) for seed in (1, 2))
        self._assert_right(keras, inputs, grads, dtype, _WAYS[way])

    @parameterized.product(
        options=({"scale": False}, {"center": False}, {"scale": False, "center": False}),
        dtype=("float32", "bfloat16"),
    )
    def test_without_scale_and_center(self, options, dtype):
        inputs, grads = (cases.random([3, 4, 4, 5], dtype, seed=seed) for seed in (3, 4))
        self._assert_right(keras, inputs, grads, dtype, **options)

    def test_a_mean_far_from_zero(self):
        # The mean of the squares less the square of the mean would be nothing but rounding.
        inputs = cases.random([4, 5, 6, 7], mean=1000.0)
        self._assert_right(keras, inputs, cases.random([4, 5, 6, 7]), "float32")

    @parameterized.parameters(1e-7, 1e-5, 0.1)
    def test_epsilon_is_the_layers(self, epsilon):
        inputs = cases.random([4, 5, 6, 7], mean=0.0, scale=1e-3)
        self._assert_right(keras, inputs, cases.random([4, 5, 6, 7]), "float32", epsilon=epsilon)

    @parameterized.product(shape=([300, 3], [6, 9, 5]), dtype=tuple(cases.UNITS), way=tuple(_WAYS))
    @pytest.mark.skipif(tf_keras is None, reason="tf_keras is not installed")
    def test_the_older_kerass(self, shape, dtype, way):
        inputs, grads = (cases.random(shape, dtype, seed=seed) for seed in (1, 2))
        self._assert_right(tf_keras, inputs, grads, dtype, _WAYS[way])

    @pytest.mark.skipif(tf_keras is None, reason="tf_keras is not installed")
    def test_the_older_kerass_that_is_told_not_to_fuse(self):
        inputs, grads = (cases.random([4, 5, 6, 7], seed=seed) for seed in (1, 2))
        self._assert_right(tf_keras, inputs, grads, "float32", fused=False)


class FewValuesTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(values=(0, 1), shape=([4], [1, 1, 4]), known=(True, False))
    def test_of_a_channel(self, values, shape, known):
        inputs = tf.fill([values, *shape], 3.0)
        wrap = tf.function if known else _unknown_shapes
        expected = cases.train(_layer(inputs), inputs, inputs, wrap)
        found = []
        with swap.installed(batch_norm=True), _counted(found):
            results = cases.train(_layer(inputs), inputs, inputs, wrap)
        self.assertEqual(found, ["fewer than two values in a channel"] if known else [""])
        if not values and not known:  # Keras has NaN; a sum of nothing is zero
            self.assertAllEqual(expected["gamma_grad"], np.full([4], np.nan))
            expected["gamma_grad"] = np.zeros(4)
        for name, value in expected.items():
            self.assertAllClose(results[name], value, 1e-5, 1e-5, msg=name)

    @parameterized.parameters(np.inf, np.nan)
    def test_values_that_are_no_numbers(self, value):
        for rows in (1, 8):
            inputs = tf.constant(cases.random([rows, 4]).numpy())
            inputs = tf.tensor_scatter_nd_update(inputs, [[0, 1]], [value])
            expected = cases.train(_layer(inputs), inputs, inputs, _unknown_shapes)
            with swap.installed(batch_norm=True):
                results = cases.train(_layer(inputs), inputs, inputs, _unknown_shapes)
            for name in ("outputs", "moving_mean", "moving_variance"):
                self.assertAllClose(results[name], expected[name], 1e-5, 1e-5, msg=name)


def _layer(inputs, package=keras, **options):
    return cases.layer_of(package, inputs.shape[-1], rank=len(inputs.shape), **options)


class GradientsTest(tf.test.TestCase, parameterized.TestCase):
    """Those beyond the first, which for Keras's own layer are wrong: see `docs/batch_norm.md`."""

    def _gradients(self, layer, inputs, grads, gamma):
        layer.gamma.assign(gamma)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        return tape.gradient(outputs, [inputs, layer.gamma], grads)

    @parameterized.product(shape=([3, 2, 2, 3], [6, 2]), dtype=("float32", "bfloat16"))
    def test_of_the_second_order(self, shape, dtype):
        inputs, grads, direction = (cases.random(shape, dtype, seed=s) for s in (1, 2, 3))
        channels = shape[-1]
        gamma, gamma_direction = (cases.random([channels], seed=s) for s in (4, 5))
        with swap.installed(batch_norm=True):
            layer = _layer(inputs, dtype=dtype)
            layer.gamma.assign(gamma)
            with tf.GradientTape() as tape:
                tape.watch([inputs, grads])
                with tf.GradientTape() as inner:
                    inner.watch(inputs)
                    outputs = layer(inputs, training=True)
                inputs_grad, gamma_grad = inner.gradient(outputs, [inputs, layer.gamma], grads)
                dot = tf.reduce_sum(tf.cast(inputs_grad * direction, tf.float32))
                dot += tf.reduce_sum(gamma_grad * gamma_direction)
            found = tape.gradient(dot, [inputs, grads, layer.gamma])
        # The oracle: differences of the first gradients of Keras's layer in float64.
        oracle = cases.layer_of(keras, channels, "float64", rank=len(shape))
        values = [tf.cast(t, tf.float64).numpy() for t in (inputs, grads, gamma)]
        along = [tf.cast(t, tf.float64).numpy() for t in (direction, gamma_direction)]

        def dot_at(values):
            tensors = [tf.constant(value) for value in values]
            results = self._gradients(oracle, tensors[0], tensors[1], tensors[2])
            return sum(float(tf.reduce_sum(r * d)) for r, d in zip(results, along, strict=True))

        step = 1e-5
        for place, result in enumerate(found):
            expected = np.zeros(values[place].shape)
            for index in np.ndindex(*expected.shape):
                ends = []
                for sign in (step, -step):
                    moved = [value.copy() for value in values]
                    moved[place][index] += sign
                    ends.append(dot_at(moved))
                expected[index] = (ends[0] - ends[1]) / (2 * step)
            tolerance = 64 * np.max(np.abs(expected)) * max(cases.UNITS[dtype], 2.0**-20)
            self.assertAllClose(tf.cast(result, tf.float64), expected, 0, tolerance, msg=place)

    def test_jacobians_and_forward_mode(self):
        inputs, tangents = cases.random([3, 2, 2, 3]), cases.random([3, 2, 2, 3], seed=1)
        results = []
        for installed in (contextlib.nullcontext(), swap.installed(batch_norm=True)):
            layer = _layer(inputs)
            with installed:
                with tf.GradientTape(persistent=True) as tape:
                    tape.watch(inputs)
                    outputs = layer(inputs, training=True)
                with tf.autodiff.ForwardAccumulator(inputs, tangents) as forward:
                    again = layer(inputs, training=True)
                results.append((tape.jacobian(outputs, inputs), forward.jvp(again)))
        for fused, expected in zip(*results, strict=True):
            self.assertAllClose(fused, expected, 1e-4, 1e-5)


class LeftToKerasTest(tf.test.TestCase, parameterized.TestCase):
    """What the fused op cannot do is computed by Keras, to the bit, and reported."""

    def _assert_left(self, why, make, shape=(4, 3, 3, 5), dtype="float32", **arguments):
        inputs = cases.random(shape, dtype)

        def compute():
            layer = make()
            outputs = layer(inputs, training=True, **arguments)
            return [outputs, layer.moving_mean, layer.moving_variance]

        expected, found = compute(), []
        with swap.installed(batch_norm=True), _counted(found):
            results = compute()
        self.assertEqual(found, [why] if why is not None else [])
        for result, value in zip(results, expected, strict=True):
            self.assertAllEqual(result, value)

    @parameterized.parameters(
        ("synchronized=True", {"synchronized": True}),
        ("renorm=True", {"renorm": True}),
        ("axis 1 of 4 dimensions", {"axis": 1}),
        ("axis -2 of 4 dimensions", {"axis": -2}),
        ("inputs of type float64 for a layer that computes float64", {"dtype": "float64"}),
        (
            "inputs of type bfloat16 for a layer that computes float32",
            {"autocast": False},
            "bfloat16",
        ),
        (None, {"trainable": False}),
    )
    def test_options(self, why, options, dtype="float32"):
        dtype = options.get("dtype", dtype)
        self._assert_left(why, lambda: keras.layers.BatchNormalization(**options), dtype=dtype)

    @parameterized.parameters(([7], 1), ([2, 1, 2, 1, 2, 3], 6))
    def test_ranks(self, shape, rank):
        why = f"inputs of {rank} dimensions"
        self._assert_left(why, keras.layers.BatchNormalization, shape)

    def test_masks(self):
        mask = tf.random.uniform([4, 3, 3]) > 0.3
        self._assert_left("a mask", keras.layers.BatchNormalization, mask=mask)

    @parameterized.parameters(
        ("virtual_batch_size=2", {"virtual_batch_size": 2}),
        ("synchronized=True", {"synchronized": True}),
        ("renorm=True", {"renorm": True}),
        ("axis 1, 3 of 4 dimensions", {"axis": [1, 3]}),
        (None, {}),  # which it fuses itself
        (None, {"trainable": False}),
    )
    @pytest.mark.skipif(tf_keras is None, reason="tf_keras is not installed")
    def test_options_of_the_older_keras(self, why, options):
        self._assert_left(why, lambda: tf_keras.layers.BatchNormalization(**options))

    @parameterized.parameters(True, False)
    def test_layers_with_moments_of_their_own(self, of_the_class):
        class Own(keras.layers.BatchNormalization):
            pass

        def own(*arguments):
            return tf.zeros([5]), tf.ones([5])

        def make():
            layer = Own()
            (Own if of_the_class else layer)._moments = own
            return layer

        self._assert_left("Own has a _moments of its own", make)

    def test_layers_with_a_call_of_their_own(self):
        class Doubling(keras.layers.BatchNormalization):
            def call(self, inputs, training=None, mask=None):
                return 2 * super().call(inputs, training=training, mask=mask)

        class Other(keras.layers.BatchNormalization):
            def call(self, inputs, training=None):
                return inputs

        inputs, found = cases.random([4, 3, 3, 5]), []
        plain = keras.layers.BatchNormalization()(inputs, training=True)
        with swap.installed(batch_norm=True), _counted(found):
            self.assertAllClose(Doubling()(inputs, training=True), 2 * plain, 1e-5, 1e-5)
            self.assertAllEqual(Other()(inputs, training=True), inputs)
        self.assertEqual(found, [""])

    def test_who_replaced_keras_call_before_is_left_alone(self):
        original = keras.layers.BatchNormalization.call

        def theirs(self, inputs, training=None, mask=None):
            return original(self, inputs, training=training, mask=mask) + 1.0

        keras.layers.BatchNormalization.call = theirs
        try:
            why = "somebody else has replaced Keras's call"
            self._assert_left(why, keras.layers.BatchNormalization)
            self.assertIs(keras.layers.BatchNormalization.call, theirs)
        finally:
            keras.layers.BatchNormalization.call = original

    def test_stateless_calls(self):
        inputs = cases.random([4, 3, 3, 5])
        layer = _layer(inputs)
        arguments = (layer.trainable_variables, layer.non_trainable_variables, inputs)
        expected = layer.stateless_call(*arguments, training=True)
        found = []
        with swap.installed(batch_norm=True), _counted(found):
            results = layer.stateless_call(*arguments, training=True)
        self.assertLen(found, 1)
        self.assertIn("stateless", found[0])
        tf.nest.map_structure(self.assertAllEqual, results, expected)

    @pytest.mark.xla
    def test_what_xla_compiles(self):
        inputs = cases.random([4, 3, 3, 5], mean=1000.0)
        wrap = lambda step: tf.function(step, jit_compile=True)  # noqa: E731
        expected, found = cases.train(_layer(inputs), inputs, inputs, wrap), []
        with swap.installed(batch_norm=True), _counted(found):
            results = cases.train(_layer(inputs), inputs, inputs, wrap)
        self.assertEqual(found, ["XLA compiles it"])
        for name, value in expected.items():
            self.assertAllEqual(results[name], value)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
