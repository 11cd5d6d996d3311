"""ONNX Runtime on the CPU: Conv with groups, and ConvTranspose as its input gradient."""

import onnx
import onnxruntime
from onnx import helper

from tf_dwbp.tools.adapter import geometry

_OPSET, _IR_VERSION = 22, 10  # the first with bfloat16


def forward(input, filter, **attributes):
    return _run("Conv", input, filter, geometry(input.shape, filter.shape, **attributes))


def input_grad(input_sizes, filter, out_backprop, **attributes):
    found = geometry(input_sizes, filter.shape, **attributes)
    return _run("ConvTranspose", out_backprop, filter, found, output_padding=found.output_padding)


def _run(op, data, filter, found, **attributes):
    if found.layout != "NCHW":
        raise NotImplementedError(f"ONNX's {op} takes NCHW")
    height, width, channels, multiplier = filter.shape
    weight = filter.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    dtype = helper.np_dtype_to_tensor_dtype(data.dtype)
    attributes |= {"group": channels, "pads": [*found.before, *found.after]}
    attributes |= {"strides": found.strides, "dilations": found.dilations}
    graph = helper.make_graph(
        [helper.make_node(op, ["data", "weight"], ["result"], **attributes)],
        op,
        [helper.make_tensor_value_info("data", dtype, data.shape)],
        [helper.make_tensor_value_info("result", dtype, None)],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    serialized = model.SerializeToString()
    session = onnxruntime.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    return session.run(None, {"data": data})[0]
