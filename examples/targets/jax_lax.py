"""JAX on the CPU: jax.lax.conv_general_dilated, and jax.vjp's gradients of it."""

import jax
import numpy as np

from tf_dwbp.tools.adapter import geometry

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)


def forward(input, filter, **attributes):
    return np.asarray(_convolution(input, filter, attributes))


def input_grad(input_sizes, filter, out_backprop, **attributes):
    image = np.zeros(input_sizes, filter.dtype)
    _, gradient = jax.vjp(lambda image: _convolution(image, filter, attributes), image)
    return np.asarray(gradient(out_backprop)[0])


def filter_grad(input, filter_sizes, out_backprop, **attributes):
    filter = np.zeros(filter_sizes, input.dtype)
    _, gradient = jax.vjp(lambda filter: _convolution(input, filter, attributes), filter)
    return np.asarray(gradient(out_backprop)[0])


def _convolution(image, filter, attributes):
    found = geometry(image.shape, filter.shape, **attributes)
    explicit = list(zip(found.before, found.after, strict=True))
    height, width, channels, multiplier = filter.shape
    return jax.lax.conv_general_dilated(
        image,
        filter.reshape(height, width, 1, channels * multiplier),
        window_strides=found.strides,
        padding=explicit if found.padding == "EXPLICIT" else found.padding,
        rhs_dilation=found.dilations,
        dimension_numbers=(found.layout, "HWIO", found.layout),
        feature_group_count=channels,
    )
