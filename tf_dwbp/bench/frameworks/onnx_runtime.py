"""ONNX Runtime as a peer: a model of one Conv. Input and result lie in memory that it was given."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Contender
from tf_dwbp.bench.frameworks.convolution import Convolution

_OPSET, _IR_VERSION = 22, 10  # the first with bfloat16


def prepare(call: Call, threads: int) -> Contender:
    """In NCHW."""
    found = Convolution.of(call, "NCHW")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(_model(found), options, providers=providers)
    given = onnxruntime.OrtValue.ortvalue_from_numpy(found.input)
    made = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(found.output_shape, found.input.dtype))
    binding = session.io_binding()
    binding.bind_ortvalue_input("data", given)
    binding.bind_ortvalue_output("result", made)

    def run():
        session.run_with_iobinding(binding)
        return []

    return Contender(run, lambda _: [found.to_call(made.numpy())])


def _model(found):
    height, width, channels, multiplier = found.filter.shape
    weight = found.filter.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    dtype = helper.np_dtype_to_tensor_dtype(weight.dtype)
    geometry = found.geometry
    attributes = {"group": channels, "pads": [*geometry.before, *geometry.after]}
    attributes |= {"strides": geometry.strides, "dilations": geometry.dilations}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["data", "weight"], ["result"], **attributes)],
        "convolution",
        [helper.make_tensor_value_info("data", dtype, found.input.shape)],
        [helper.make_tensor_value_info("result", dtype, found.output_shape)],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    return made.SerializeToString()
