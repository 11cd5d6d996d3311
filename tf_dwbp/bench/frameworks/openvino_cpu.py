"""OpenVINO as a peer: a model of one GroupConvolution. Its input lies in memory that it was given.

A call is an inference, whose result stays in the request.
"""

import openvino
from openvino import opset15 as ops

from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Contender, Refused
from tf_dwbp.bench.frameworks.convolution import Convolution

# Else it may compute in bfloat16 for float.
_CONFIG = {"EXECUTION_MODE_HINT": "ACCURACY", "PERFORMANCE_HINT": "LATENCY"}


def prepare(call: Call, threads: int) -> Contender:
    """In NCHW."""
    found = Convolution.of(call, "NCHW")
    if call.dtype == "bfloat16":
        raise Refused("it is not asked for bfloat16")
    geometry = found.geometry
    weight = found.filter.transpose(2, 3, 0, 1)[:, :, None].copy()
    data = openvino.Tensor(found.input)
    parameter = ops.parameter(data.shape, data.element_type)
    node = ops.group_convolution(
        parameter,
        ops.constant(openvino.Tensor(weight)),
        strides=[*geometry.strides],
        pads_begin=[*geometry.before],
        pads_end=[*geometry.after],
        dilations=[*geometry.dilations],
    )
    config = _CONFIG | {"INFERENCE_NUM_THREADS": threads}
    model = openvino.Model([node], [parameter])
    request = openvino.compile_model(model, "CPU", config).create_infer_request()
    request.set_input_tensor(data)

    def run():
        request.infer()
        return []

    return Contender(run, lambda _: [found.to_call(request.get_output_tensor().data)])
