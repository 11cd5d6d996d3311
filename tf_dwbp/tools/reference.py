"""What the ops mean: the family of depthwise convolution, in float64, from the definition.

The convolution of `input` [B, H, W, C] with `filter` [kh, kw, C, M] is

    output[b, oy, ox, c * M + m] = sum over ky, kx of input[b, iy, ix, c] * filter[ky, kx, c, m]

    where iy = oy * sy + ky * dy - pad_top and ix = ox * sx + kx * dx - pad_left

with strides (sy, sx) and dilations (dy, dx). A tap that falls outside the image is absent: it is
not a product with zero, so that an Inf or NaN in the filter reaches only the pixels that it
really touches.

Multiplied by a third tensor of the output's shape and summed, this is a form that is linear in
each of three tensors: a sum of products of one number of each. An op of the family is the form's
derivative with respect to one of them, that is, for each element of its result the sum of the
products of the numbers of the other two that meet there:

    forward      output from input and filter
    input_grad   input from filter and output (`out_backprop`)
    filter_grad  filter from input and output (`out_backprop`)

Hence one walk over the filter's taps computes all three. The gradients of an op are derivatives
of the same form, so that they are members of the family too, with other operands: `derivatives`.

`forward`, `input_grad` and `filter_grad` take the arguments of their counterparts in `tf.raw_ops`:
`strides` and `dilations` in the order of `data_format`, `explicit_paddings` with two numbers for
each dimension in that order.
"""

import math

import numpy as np

# The three tensors of the form, and which of them each op computes.
ROLES = ("input", "filter", "output")
RESULTS = {"forward": "output", "input_grad": "input", "filter_grad": "filter"}

# For each result the products of what meets at one tap, and the roles that they are of.
_PRODUCTS = {
    "output": ("byxc,cm->byxcm", "input", "filter"),
    "input": ("cm,byxcm->byxc", "filter", "output"),
    "filter": ("byxc,byxcm->cm", "input", "output"),
}

_IMAGE_ELEMENTS = 1 << 15  # of the output: how much is dealt with at a time


def output_size(size, filter_size, stride, dilation, padding, explicit=(0, 0)):
    """The number of output pixels along one axis; 0 where the dilated filter does not fit."""
    if padding == "SAME":
        return -(-size // stride)
    extent = (filter_size - 1) * dilation + 1
    before, after = explicit if padding == "EXPLICIT" else (0, 0)
    return max(0, (size + before + after - extent) // stride + 1)


def pad_before(size, filter_size, stride, dilation, padding, explicit=(0, 0)):
    """The padding in front of the first pixel along one axis. SAME puts the odd one behind."""
    if padding == "SAME":
        extent = (filter_size - 1) * dilation + 1
        outputs = output_size(size, filter_size, stride, dilation, padding)
        return max(0, (outputs - 1) * stride + extent - size) // 2
    return explicit[0] if padding == "EXPLICIT" else 0


def out_backprop_shape(
    input_sizes,
    filter_shape,
    strides,
    padding,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(1, 1, 1, 1),
):
    """The shape of the convolution's output, which is that of `out_backprop`."""
    rows, columns = axes(
        input_sizes, filter_shape, strides, padding, explicit_paddings, data_format, dilations
    )
    batch, depth = input_sizes[0], filter_shape[2] * filter_shape[3]
    if data_format == "NHWC":
        return (batch, rows.outputs, columns.outputs, depth)
    return (batch, depth, rows.outputs, columns.outputs)


def forward(input, filter, *args, **kwargs):
    """The convolution, as float64, in the layout of `data_format`."""
    tensors = {"input": input, "filter": filter}
    return member("output", tensors, np.shape(input), np.shape(filter), *args, **kwargs)


def input_grad(input_sizes, filter, out_backprop, *args, **kwargs):
    """The gradient with respect to the input, as float64, in the layout of `data_format`."""
    tensors = {"filter": filter, "output": out_backprop}
    return member("input", tensors, input_sizes, np.shape(filter), *args, **kwargs)


def filter_grad(input, filter_sizes, out_backprop, *args, **kwargs):
    """The gradient with respect to the filter, as float64."""
    tensors = {"input": input, "output": out_backprop}
    return member("filter", tensors, np.shape(input), filter_sizes, *args, **kwargs)


def operands(op):
    """The roles of an op's two tensors, in the order of its arguments."""
    return tuple(role for role in ROLES if role != RESULTS[op])


def derivatives(op, order):
    """The op itself (order 0), its gradients (1) or their gradients (2): pairs (varied, result).

    Let each role have a tensor, the op's result too: what its gradient is fed with. Each pair then
    stands for the member of the family that computes `result` from the tensors of the two other
    roles, among them a direction in place of the tensor of the role `varied`, if that is not None:
    the gradient of `varied` was fed with that direction.
    """
    if order == 0:
        return [(None, RESULTS[op])]
    if order == 1:
        return [(None, role) for role in operands(op)]
    # The gradient of one operand depends on everything but that operand.
    return [(varied, role) for varied in operands(op) for role in ROLES if role != varied]


def member(
    result,
    tensors,
    input_sizes,
    filter_sizes,
    strides,
    padding,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(1, 1, 1, 1),
):
    """The role `result` from the tensors of the two others, as float64."""
    rows, columns = axes(
        input_sizes, filter_sizes, strides, padding, explicit_paddings, data_format, dilations
    )
    batch, (*_, channels, multiplier) = input_sizes[0], filter_sizes
    shapes = {
        "input": (batch, rows.size, columns.size, channels),
        "filter": tuple(filter_sizes),
        "output": (batch, rows.outputs, columns.outputs, channels, multiplier),
    }

    def canonical(role):
        array = np.asarray(tensors[role])
        if data_format == "NCHW" and role != "filter":
            array = array.transpose(0, 2, 3, 1)
        return array.astype(np.float64, order="C").reshape(shapes[role])

    arrays = {role: np.zeros(shapes[role]) if role == result else canonical(role) for role in ROLES}
    add_products(result, arrays, rows, columns)
    if result == "output":
        arrays[result] = arrays[result].reshape(*shapes[result][:3], channels * multiplier)
    if data_format == "NCHW" and result != "filter":
        return arrays[result].transpose(0, 3, 1, 2)
    return arrays[result]


def add_products(result, arrays, rows, columns):
    """Adds the products of two arrays to the third, `arrays[result]`, in its own type.

    Args:
      result: the role that is computed.
      arrays: by role; NHWC, the output's depth as two dimensions, channels and multiplier.
      rows: the `Axis` along the height.
      columns: the `Axis` along the width.
    """
    taps = [
        (ky, kx, rows.tap(ky), columns.tap(kx))
        for ky in range(rows.taps)
        for kx in range(columns.taps)
    ]
    products, first, second = _PRODUCTS[result]
    # A few images at a time, which stay in the caches while all taps go over them.
    step = max(1, _IMAGE_ELEMENTS // max(1, math.prod(arrays["output"].shape[1:])))
    for image in range(0, len(arrays["output"]), step):
        images = slice(image, image + step)
        for ky, kx, (outputs_y, inputs_y), (outputs_x, inputs_x) in taps:
            meeting = {
                "input": arrays["input"][images, inputs_y, inputs_x],
                "filter": arrays["filter"][ky, kx],
                "output": arrays["output"][images, outputs_y, outputs_x],
            }
            meeting[result] += np.einsum(products, meeting[first], meeting[second])


def absolute_products(result, tensors, *args, **kwargs):
    """For each element of `member`'s result the sum of the absolute values of its products."""
    absolute = {role: np.abs(tensor) for role, tensor in tensors.items()}
    return member(result, absolute, *args, **kwargs)


def product_counts(result, input_sizes, filter_sizes, *args, data_format="NHWC", **kwargs):
    """For each element of `member`'s result the number of products that are summed.

    In the result's shape, but for batch and channels, which are 1 where all have the same counts.
    """
    batch = input_sizes[0]
    height, width = (input_sizes[data_format.index(axis)] for axis in "HW")
    # One image of one channel, with all of its filters where these are summed.
    multiplier = filter_sizes[3] if result == "input" else 1
    sizes = {"N": 1, "H": height, "W": width, "C": 1}
    input_sizes = [sizes[axis] for axis in data_format]
    filter_sizes = (*filter_sizes[:2], 1, multiplier)
    keywords = kwargs | {"data_format": data_format}
    shapes = {
        "input": input_sizes,
        "filter": filter_sizes,
        "output": out_backprop_shape(input_sizes, filter_sizes, *args, **keywords),
    }
    ones = {role: np.ones(shape) for role, shape in shapes.items() if role != result}
    counts = member(result, ones, input_sizes, filter_sizes, *args, **keywords)
    return counts * batch if result == "filter" else counts


class Axis:
    """One spatial axis of a call."""

    def __init__(self, size, filter_size, stride, dilation, padding, explicit):
        description = (int(size), int(filter_size), int(stride), int(dilation), padding, explicit)
        self.size, self.taps, self.stride, self.dilation, _, _ = description
        self.outputs = output_size(*description)
        self.pad_before = pad_before(*description)
        self.pad_after = explicit[1] if padding == "EXPLICIT" else 0
        if padding == "SAME":  # what the last output reaches beyond the image
            beyond = (self.outputs - 1) * self.stride + self.extent - self.pad_before - self.size
            self.pad_after = max(0, beyond)

    @property
    def extent(self):
        """How many pixels the dilated filter spans."""
        return (self.taps - 1) * self.dilation + 1

    @property
    def products(self):
        """Pairs of an output and a tap that meet a pixel, and not the padding."""
        outputs = (self.tap(k)[0] for k in range(self.taps))
        return sum(meeting.stop - meeting.start for meeting in outputs)

    def tap(self, k):
        """The outputs that use tap k inside the image, and the inputs that they read, as slices."""
        offset = k * self.dilation - self.pad_before
        first = max(0, -(offset // self.stride))
        last = min(self.outputs - 1, (self.size - 1 - offset) // self.stride)
        if last < first:
            return slice(0, 0), slice(0, 0)
        start = first * self.stride + offset
        stop = last * self.stride + offset + 1
        return slice(first, last + 1), slice(start, stop, self.stride)


def axes(
    input_sizes, filter_shape, strides, padding, explicit_paddings, data_format, dilations
) -> list["Axis"]:
    """The two spatial axes of a call, rows first."""
    height = data_format.index("H")
    return [
        Axis(
            input_sizes[axis],
            filter_shape[axis - height],
            strides[axis],
            dilations[axis],
            padding,
            tuple(explicit_paddings[2 * axis : 2 * axis + 2]),
        )
        for axis in (height, height + 1)
    ]
