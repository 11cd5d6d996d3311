"""LiteRT (TensorFlow Lite, with XNNPACK) as a peer: a model of one op, with a bias of 0.

A call is an invocation: the input lies in the interpreter, and the result stays there.
"""

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as schema

from tf_dwbp.bench.call import Call
from tf_dwbp.bench.contender import Contender, Refused
from tf_dwbp.bench.frameworks.convolution import Convolution


def prepare(call: Call, threads: int) -> Contender:
    """In NHWC, and in float32, for which its kernels are."""
    found = Convolution.of(call, "NHWC")
    if call.dtype != "float32":
        raise Refused("it is asked for float32 alone")
    if found.geometry.padding == "EXPLICIT":
        raise Refused("LiteRT's DEPTHWISE_CONV_2D takes SAME and VALID")
    runner = interpreter.Interpreter(model_content=_model(found), num_threads=threads)
    runner.allocate_tensors()
    runner.set_tensor(0, found.input)

    def run():
        runner.invoke()
        return []

    return Contender(run, lambda _: [found.to_call(runner.get_tensor(3))])


def _model(found):
    """The file of a model."""
    height, width, channels, multiplier = found.filter.shape
    depth = channels * multiplier
    geometry = found.geometry
    options = schema.DepthwiseConv2DOptionsT(getattr(schema.Padding, geometry.padding))
    options.strideH, options.strideW = geometry.strides
    options.dilationHFactor, options.dilationWFactor = geometry.dilations
    options.depthMultiplier = multiplier
    code = schema.OperatorCodeT(4, builtinCode=schema.BuiltinOperator.DEPTHWISE_CONV_2D, version=2)
    node = schema.OperatorT(inputs=[0, 1, 2], outputs=[3], builtinOptions=options)
    node.builtinOptionsType = schema.BuiltinOptions.DepthwiseConv2DOptions
    constants = found.filter.reshape(1, height, width, depth), np.zeros(depth, np.float32)
    data = [np.zeros(0, "u1"), *(array.reshape(-1).view("u1") for array in constants)]
    shapes = [found.input.shape, *(array.shape for array in constants), found.output_shape]
    tensors = [  # input, filter, bias, result: of these two have a buffer with something in it
        schema.TensorT([*shape], schema.TensorType.FLOAT32, buffer=i % 3)
        for i, shape in enumerate(shapes)
    ]
    graph = schema.SubGraphT(tensors, inputs=[0], outputs=[3], operators=[node])
    model = schema.ModelT(3, [code], [graph], buffers=[schema.BufferT(array) for array in data])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
