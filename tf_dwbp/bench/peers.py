"""The two sides of a comparison: our op, and the implementations it is compared with.

Each prepares what it needs once, and gives back a function that makes one eager call: what is
timed is what a user waits for, overhead included. Ours is called by its public name, stock's
through `tf.raw_ops`, which does as little as any call of TensorFlow's can.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_dwbp import ops
from tf_dwbp.bench.call import DTYPES, Call


class Refused(Exception):
    """The peer cannot compute this call; the message says why."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One way to compute a call."""

    run: Callable[[], object]
    # Makes an array, in the call's layout, out of what `run` returns.
    to_array: Callable[[object], np.ndarray] = np.asarray


@dataclasses.dataclass(frozen=True)
class Peer:
    """An implementation to compare with."""

    title: str
    prepare: Callable[[Call, int], Side]  # for a number of threads; raises Refused
    onednn: bool = True  # TensorFlow's switch in the process, for both sides
    only_dilated: bool = False
    # Seconds at the start of each block, of either side, that do not count.
    lead_in: float = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What the process must be started with."""
        return {"TF_ENABLE_ONEDNN_OPTS": "1" if self.onednn else "0"}


def prepare_ours(call: Call, threads: int) -> Side:
    """Our op."""
    del threads  # set for the whole process
    sizes, filter, out_backprop = _tensors(call)
    return Side(
        functools.partial(
            ops.depthwise_conv2d_backprop_input, sizes, filter, out_backprop, **call.attributes
        )
    )


def _prepare_stock(call, threads):
    del threads
    if call.shape.dilation != 1:
        raise Refused("stock's op ignores dilations on CPU, so its result is wrong")
    sizes, filter, out_backprop = _tensors(call)
    return Side(
        functools.partial(
            tf.raw_ops.DepthwiseConv2dNativeBackpropInput,
            input_sizes=sizes,
            filter=filter,
            out_backprop=out_backprop,
            **call.attributes,
        )
    )


def _prepare_xla(call, threads):
    """Stock's op compiled: the only one of stock's that heeds dilations."""
    del threads
    _, filter, out_backprop = _tensors(call)

    @tf.function(jit_compile=True)
    def compiled(filter, out_backprop):
        return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=call.input_sizes,
            filter=filter,
            out_backprop=out_backprop,
            **call.attributes,
        )

    return Side(functools.partial(compiled, filter, out_backprop))


def _prepare_space_to_batch(call, threads):
    """The ops of the gradient of `tf.nn.depthwise_conv2d` with dilations, called one by one.

    A tape would compute the filter's gradient as well, and a tf.function costs more per call.
    """
    del threads
    shape = call.shape
    if shape.stride != 1:
        raise Refused("tf.nn.depthwise_conv2d takes no stride with dilations")
    _, filter, out_backprop = _tensors(call)
    # The dimensions after the batch that are divided into blocks. Those of NCHW begin with the
    # channels, which stay whole.
    whole = [] if call.layout == "NHWC" else [(shape.channels, 1, (0, 0))]
    sizes, blocks, base = zip(
        *whole,
        (shape.height, shape.dilation, call.rows.padding),
        (shape.width, shape.dilation, call.columns.padding),
        strict=True,
    )
    paddings, crops = map(
        tf.constant, tf.required_space_to_batch_paddings(sizes, blocks, base_paddings=base)
    )
    block_shape = tf.constant(blocks)
    image = tf.zeros(call.input_sizes, filter.dtype)
    batched_sizes = tf.constant(tf.space_to_batch(image, block_shape, paddings).shape)
    attributes = {"strides": [1, 1, 1, 1], "padding": "VALID", "data_format": call.layout}

    def run():
        batched = tf.raw_ops.SpaceToBatchND(
            input=out_backprop, block_shape=block_shape, paddings=crops
        )
        gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=batched_sizes, filter=filter, out_backprop=batched, **attributes
        )
        return tf.raw_ops.BatchToSpaceND(input=gradient, block_shape=block_shape, crops=paddings)

    return Side(run)


def _prepare_torch(call, threads):
    """PyTorch's own gradient; `torch.nn.grad.conv2d_input` calls it on a slower path.

    Where SAME pads by one more after than before, PyTorch, which pads both alike, is given the
    mirror image: it pads before by as much, and after by what stride 2 leaves over. The
    arithmetic is the same.
    """
    import torch

    torch.set_num_threads(threads)
    padding, mirrored = [], []
    for dimension, axis in ((2, call.rows), (3, call.columns)):
        before, after = axis.padding
        reach = (axis.filter - 1) * axis.dilation + 1
        if (axis.size + 2 * after - reach) // axis.stride + 1 != axis.out_size:
            raise Refused("PyTorch cannot express this SAME padding")
        padding.append(after)
        if after > before:
            mirrored.append(dimension)

    shape = call.shape
    dtype = getattr(torch, call.dtype)
    memory = torch.channels_last if call.layout == "NHWC" else torch.contiguous_format

    def tensor(array):
        # PyTorch does not know NumPy's bfloat16; float32 holds each of its values.
        exact = array.astype(np.float32) if call.dtype == "bfloat16" else array
        return torch.from_numpy(np.ascontiguousarray(exact)).to(dtype)

    filter, out_backprop = call.inputs()
    channels = shape.channels * shape.depth_multiplier
    weight = tensor(filter.transpose(2, 3, 0, 1).reshape(channels, 1, *filter.shape[:2]))
    upstream = tensor(out_backprop if memory is not torch.channels_last else _to_nchw(out_backprop))
    weight, upstream = weight.flip(mirrored), upstream.flip(mirrored)
    upstream = upstream.contiguous(memory_format=memory)
    image = torch.zeros(
        shape.batch, shape.channels, shape.height, shape.width, dtype=dtype
    ).contiguous(memory_format=memory)
    strides, dilations = [shape.stride] * 2, [shape.dilation] * 2
    backward = torch.ops.aten.convolution_backward

    def run():
        with torch.inference_mode():
            return backward(
                upstream,
                image,
                weight,
                None,  # no bias
                strides,
                padding,
                dilations,
                False,  # not transposed
                [0, 0],
                shape.channels,  # groups
                [True, False, False],  # the input's gradient alone
            )[0]

    def to_array(answer):
        array = answer.flip(mirrored).to(torch.float64).numpy().astype(DTYPES[call.dtype])
        return array if call.layout == "NCHW" else array.transpose(0, 2, 3, 1)

    return Side(run, to_array)


def _to_nchw(array):
    return array.transpose(0, 3, 1, 2)


@functools.lru_cache(maxsize=1)  # both sides read the same memory
def _tensors(call):
    filter, out_backprop = call.inputs()
    return tf.constant(call.input_sizes), tf.constant(filter), tf.constant(out_backprop)


COPY = "copy"

PEERS = {
    "onednn": Peer("TensorFlow (oneDNN on)", _prepare_stock),
    "eigen": Peer("TensorFlow (oneDNN off)", _prepare_stock, onednn=False),
    "xla": Peer("TensorFlow's XLA", _prepare_xla),
    # Its threads go on spinning after a call, 8 ms as measured, and take a core from the next side.
    "torch": Peer("PyTorch", _prepare_torch, lead_in=0.015),
    "dilated": Peer(
        "tf.nn.depthwise_conv2d's gradient", _prepare_space_to_batch, only_dilated=True
    ),
}


def missing(name: str) -> str | None:
    """Why a peer cannot be used here at all, if so."""
    if name == "torch" and not importlib.util.find_spec("torch"):
        return "PyTorch is not installed: pip install torch"
    return None
