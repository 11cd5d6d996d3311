"""OpenVINO on the CPU: GroupConvolution, and GroupConvolutionBackpropData as its input gradient."""

import openvino
from openvino import opset15 as ops

from tf_dwbp.tools.adapter import geometry

_CONFIG = {"EXECUTION_MODE_HINT": "ACCURACY"}  # else it may compute in bfloat16 for float


def forward(input, filter, **attributes):
    g = geometry(input.shape, filter.shape, **attributes)
    return _run(ops.group_convolution, input, filter, g)


def input_grad(input_sizes, filter, out_backprop, **attributes):
    g = geometry(input_sizes, filter.shape, **attributes)
    backprop = ops.group_convolution_backprop_data
    return _run(backprop, out_backprop, filter, g, output_padding=list(g.output_padding))


def _run(op, data, filter, g, **attributes):
    if g.layout != "NCHW":
        raise NotImplementedError("OpenVINO's group convolutions take NCHW")
    data = _tensor(data)
    weights = _tensor(filter.transpose(2, 3, 0, 1)[:, :, None].copy())
    attributes |= {"strides": list(g.strides), "dilations": list(g.dilations)}
    attributes |= {"pads_begin": list(g.before), "pads_end": list(g.after)}
    parameter = ops.parameter(data.shape, data.element_type)
    node = op(parameter, ops.constant(weights), **attributes)
    compiled = openvino.compile_model(openvino.Model([node], [parameter]), "CPU", _CONFIG)
    return compiled([data])[0].view(filter.dtype)  # it gives bfloat16 as another 16-bit type


def _tensor(array):
    if array.dtype.name == "bfloat16":
        return openvino.Tensor(array.view("u2"), array.shape, openvino.Type.bf16)
    return openvino.Tensor(array)
