"""How `tf.vectorized_map` and jacobians turn a loop over an op into one op.

TensorFlow's pfor asks for a converter; without one it runs a `tf.while_loop`, which is right but
slow. Depthwise convolution has a dimension for every loop: what differs from iteration to
iteration becomes more batch where the filter is shared, more depth multiplier where the input is
shared, and more channels otherwise.
"""

import tensorflow as tf

from tf_dwbp import _registries, family, gradients, ops

_BATCH, _MULTIPLIER, _CHANNELS = "batch", "multiplier", "channels"


class _Loop:
    """Where the iterations of a loop go, and what an iteration's tensors are like."""

    def __init__(self, where, length, layout, channels, multiplier):
        self._where = where
        self._length = length
        self._channel_axis = 1 if layout == "NCHW" else 3
        self._channels = channels
        self._multiplier = multiplier

    def fold(self, tensor, role):
        """A stacked tensor as one operand."""
        sizes = tf.shape(tensor)[1:]
        split, at, _ = self._split(sizes, role)
        tensor = tf.reshape(tensor, tf.concat([[self._length], split], 0))
        order = [*range(1, at + 1), 0, *range(at + 1, len(tensor.shape))]
        return tf.reshape(tf.transpose(tensor, order), self.fold_sizes(sizes, role))

    def fold_sizes(self, sizes, role):
        """The sizes of the one operand, from those of an iteration's."""
        axis = self._split(sizes, role)[2]
        return sizes * tf.tensor_scatter_nd_update(tf.ones_like(sizes), [[axis]], [self._length])

    def unfold(self, tensor, role, sizes):
        """The stacked results, from the one op's; `sizes` are those of an iteration's."""
        split, at, _ = self._split(sizes, role)
        tensor = tf.reshape(tensor, tf.concat([split[:at], [self._length], split[at:]], 0))
        order = [at, *range(at), *range(at + 1, len(tensor.shape))]
        return tf.reshape(tf.transpose(tensor, order), tf.concat([[self._length], sizes], 0))

    def fold_biases(self, biases):
        """A stacked bias as one, in the order of the one operation's output channels."""
        if self._where == _MULTIPLIER:
            split = [self._length, self._channels, self._multiplier]
            biases = tf.transpose(tf.reshape(biases, split), [1, 0, 2])
        return tf.reshape(biases, [-1])

    def _split(self, sizes, role):
        """Sizes with output channels split where needed, where the loop goes, and in which axis."""
        if self._where == _BATCH:
            return sizes, 0, 0
        axis = 2 if role == "filter" else self._channel_axis
        if self._where == _CHANNELS:
            return sizes, axis, axis
        if role == "filter":
            return sizes, 3, 3
        split = [self._channels, self._multiplier]
        return tf.concat([sizes[:axis], split, sizes[axis + 1 :]], 0), axis + 1, axis


def _one(sizes):
    """Sizes that are stacked have to be the same in every iteration."""
    tensor, is_stacked, _ = sizes
    if not is_stacked:
        return tensor
    most = tf.maximum(tf.reduce_max(tensor, 0), 0)  # of no iterations: empty
    message = "sizes must not differ from iteration to iteration of a vectorized loop"
    with tf.control_dependencies([tf.debugging.assert_equal(tensor, most[tf.newaxis], message)]):
        return tf.identity(most)


def _result(pfor_input, stacked):
    """Tells pfor of stacked results of a shape that the loop's body may know."""
    stacked.set_shape([None, *pfor_input.outputs[0].shape])
    return _registries.wrap(stacked, True)


@_registries.converter(family.OPS["forward"].ours)
def _convert_forward(pfor_input):
    def one(image, filter, _, attributes):  # noqa: A002
        return ops.depthwise_conv2d(image, filter, **attributes)

    return _forward(pfor_input, one)


@_registries.converter(family.OUR_FUSED)
def _convert_fused_forward(pfor_input):
    op = pfor_input.op
    epilogue = {
        "activation": tf.compat.as_str(op.get_attr("activation")),
        "alpha": op.get_attr("alpha"),
    }
    # A channel has one filter and one bias: if either differs by iteration, both have to.
    _, *of_channels = pfor_input.inputs
    if any(tensor.is_stacked for tensor in of_channels):
        pfor_input.stack_inputs([*range(1, len(pfor_input.inputs))])

    def one(image, filter, loop, attributes):  # noqa: A002
        bias = None
        for biases in pfor_input.inputs[2:]:
            bias = loop.fold_biases(biases.t) if biases.is_stacked else biases.t
        return ops.fused_depthwise_conv2d(image, filter, bias, **attributes, **epilogue)

    return _forward(pfor_input, one)


def _forward(pfor_input, one):
    """The loop's results; `one` computes those of the operands in which the loop is folded up."""
    images, filters = pfor_input.inputs[:2]
    attributes = gradients.attributes_of(pfor_input.op)
    if not filters.is_stacked:
        where, shared = _BATCH, 1
    elif not images.is_stacked:
        where, shared = _MULTIPLIER, 0
    else:
        where, shared = _CHANNELS, None
    channels, multiplier = tf.unstack(tf.shape(filters.t)[-2:])
    length = pfor_input.pfor.loop_len_vector[0]
    loop = _Loop(where, length, attributes["data_format"], channels, multiplier)
    image = images.t if shared == 0 else loop.fold(images.t, "input")
    filter = filters.t if shared == 1 else loop.fold(filters.t, "filter")  # noqa: A001
    result = one(image, filter, loop, attributes)
    sizes = list(tf.unstack(tf.shape(result)))
    sizes[0] = tf.shape(images.t)[-4]
    sizes[1 if attributes["data_format"] == "NCHW" else 3] = channels * multiplier
    return _result(pfor_input, loop.unfold(result, "output", tf.stack(sizes)))


@_registries.converter(family.OPS["input_grad"].ours)
def _convert_input_grad(pfor_input):
    input_sizes, filters, upstreams = pfor_input.inputs
    attributes = gradients.attributes_of(pfor_input.op)
    sizes = _one(input_sizes)
    where = _CHANNELS if filters.is_stacked else _BATCH
    pfor_input.stack_inputs([2])
    filters, upstreams = pfor_input.inputs[1:]
    channels, multiplier = tf.unstack(tf.shape(filters.t)[-2:])
    length = pfor_input.pfor.loop_len_vector[0]
    loop = _Loop(where, length, attributes["data_format"], channels, multiplier)
    result = ops.depthwise_conv2d_backprop_input(
        loop.fold_sizes(sizes, "input"),
        loop.fold(filters.t, "filter") if filters.is_stacked else filters.t,
        loop.fold(upstreams.t, "output"),
        **attributes,
    )
    return _result(pfor_input, loop.unfold(result, "input", sizes))


@_registries.converter(family.OPS["filter_grad"].ours)
def _convert_filter_grad(pfor_input):
    images, filter_sizes, _ = pfor_input.inputs
    attributes = gradients.attributes_of(pfor_input.op)
    sizes = _one(filter_sizes)
    where = _CHANNELS if images.is_stacked else _MULTIPLIER
    pfor_input.stack_inputs([2])
    upstreams = pfor_input.inputs[2]
    channels, multiplier = tf.unstack(sizes[2:])
    length = pfor_input.pfor.loop_len_vector[0]
    loop = _Loop(where, length, attributes["data_format"], channels, multiplier)
    result = ops.depthwise_conv2d_backprop_filter(
        loop.fold(images.t, "input") if images.is_stacked else images.t,
        loop.fold_sizes(sizes, "filter"),
        loop.fold(upstreams.t, "output"),
        **attributes,
    )
    return _result(pfor_input, loop.unfold(result, "filter", sizes))
