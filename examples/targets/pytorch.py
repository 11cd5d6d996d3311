"""PyTorch on the CPU: torch.conv2d with groups, and autograd's gradients of it."""

import torch

from tf_dwbp.tools.adapter import geometry


def forward(input, filter, **attributes):
    return _array(_convolution(_tensor(input), _tensor(filter), attributes))


def input_grad(input_sizes, filter, out_backprop, **attributes):
    filter, upstream = _tensor(filter), _tensor(out_backprop)
    image = torch.zeros(*input_sizes, dtype=filter.dtype, requires_grad=True)
    return _array(*torch.autograd.grad(_convolution(image, filter, attributes), image, upstream))


def filter_grad(input, filter_sizes, out_backprop, **attributes):
    image, upstream = _tensor(input), _tensor(out_backprop)
    filter = torch.zeros(*filter_sizes, dtype=image.dtype, requires_grad=True)
    return _array(*torch.autograd.grad(_convolution(image, filter, attributes), filter, upstream))


def _convolution(image, filter, attributes):
    g = geometry(image.shape, filter.shape, **attributes)
    unlike = "same" if g.padding == "SAME" else g.before + g.after  # four numbers PyTorch refuses
    padding = g.before if g.before == g.after else unlike
    weight = filter.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1)
    image = image.permute(0, 3, 1, 2) if g.layout == "NHWC" else image  # channels_last
    result = torch.conv2d(image, weight, None, g.strides, padding, g.dilations, filter.shape[2])
    return result.permute(0, 2, 3, 1) if g.layout == "NHWC" else result


def _tensor(array):
    return torch.from_numpy(array.view(f"i{array.itemsize}")).view(getattr(torch, array.dtype.name))


def _array(tensor):  # NumPy has no bfloat16, and PyTorch goes by its bits
    bits = tensor.detach().contiguous().view(getattr(torch, f"int{8 * tensor.itemsize}"))
    return bits.numpy().view(str(tensor.dtype).removeprefix("torch."))
