"""PyTorch as a peer."""

import numpy as np
import torch

from tf_dwbp.bench.call import DTYPES, Call
from tf_dwbp.bench.contender import Contender, Refused


def symmetric_padding(call: Call) -> tuple[list[int], list[int]]:
    """The padding of rows and columns, and the dimensions of NCHW that are given mirrored.

    PyTorch pads both ends alike: by the larger amount, where stride 2, say, leaves over what is
    padded too much at the end. Where there is more padding after than before, as SAME has it, it is
    given the mirror image. The arithmetic is the same.
    """
    padding, mirrored = [], []
    for dimension, axis in ((2, call.problem.rows), (3, call.problem.columns)):
        both = max(axis.pad_before, axis.pad_after)
        if (axis.size + 2 * both - axis.extent) // axis.stride + 1 != axis.outputs:
            raise Refused("PyTorch cannot express this padding")
        padding.append(both)
        if axis.pad_after > axis.pad_before:
            mirrored.append(dimension)
            used = (axis.outputs - 1) * axis.stride + axis.extent
            if used != axis.size + axis.pad_before + axis.pad_after:
                raise Refused("PyTorch cannot express this padding")
    return padding, mirrored


def prepare(call: Call, threads: int) -> Contender:
    """PyTorch's own ops; `torch.nn.grad.conv2d_input` calls them on a slower path."""
    torch.set_num_threads(threads)
    padding, mirrored = symmetric_padding(call)

    problem, arrays = call.problem, call.tensors()
    channels_last = call.layout == "NHWC"
    memory = torch.channels_last if channels_last else torch.contiguous_format

    def tensor(array):
        # PyTorch does not know NumPy's bfloat16; float32 holds each of its values.
        exact = array.astype(np.float32) if call.dtype == "bfloat16" else array
        made = torch.from_numpy(np.ascontiguousarray(exact)).to(getattr(torch, call.dtype))
        return made.flip(mirrored)

    def image(array):
        nchw = array.transpose(0, 3, 1, 2) if channels_last else array
        return tensor(nchw).contiguous(memory_format=memory)

    taps = problem.filter_sizes[:2]
    weight = tensor(arrays["filter"].transpose(2, 3, 0, 1).reshape(-1, 1, *taps))
    input, upstream = image(arrays["input"]), image(arrays["output"])
    strides = [problem.stride_y, problem.stride_x]
    dilations = [problem.dilation_y, problem.dilation_x]
    transposed, output_padding, groups = False, [0, 0], problem.channels
    geometry = (strides, padding, dilations, transposed, output_padding, groups)

    def forward():
        return [torch.ops.aten.convolution(input, weight, None, *geometry)]

    # Of the gradients for input, weight and bias those that are wanted.
    mask = [step in call.steps for step in ("input_grad", "filter_grad")] + [False]

    def backward():
        found = torch.ops.aten.convolution_backward(upstream, input, weight, None, *geometry, mask)
        return [gradient for gradient in found if gradient is not None]

    compute = forward if call.op == "forward" else backward

    def run():
        with torch.inference_mode():
            return compute()

    def to_arrays(results):
        arrays = []
        for step, result in zip(call.steps, results, strict=True):
            array = result.flip(mirrored).to(torch.float64).numpy().astype(DTYPES[call.dtype])
            if step == "filter_grad":
                array = array.reshape(*call.filter_shape[2:], *taps).transpose(2, 3, 0, 1)
            elif channels_last:
                array = array.transpose(0, 2, 3, 1)
            arrays.append(array)
        return arrays

    return Contender(run, to_arrays)
