"""LiteRT (TensorFlow Lite) on the CPU: a model of one DEPTHWISE_CONV_2D, which has a bias of 0."""

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as schema

from tf_dwbp.tools.adapter import geometry

_TYPES = {"float16": "FLOAT16", "bfloat16": "BFLOAT16", "float32": "FLOAT32", "float64": "FLOAT64"}


def forward(input, filter, **attributes):
    g = geometry(input.shape, filter.shape, **attributes)
    if g.layout != "NHWC" or g.padding == "EXPLICIT":
        raise NotImplementedError("LiteRT's DEPTHWISE_CONV_2D takes NHWC, SAME and VALID")
    height, width, channels, multiplier = filter.shape
    options = schema.DepthwiseConv2DOptionsT(getattr(schema.Padding, g.padding))
    options.strideH, options.strideW = g.strides
    options.dilationHFactor, options.dilationWFactor = g.dilations
    options.depthMultiplier, depth = multiplier, channels * multiplier
    code = schema.OperatorCodeT(4, builtinCode=schema.BuiltinOperator.DEPTHWISE_CONV_2D, version=2)
    node = schema.OperatorT(inputs=[0, 1, 2], outputs=[3], builtinOptions=options)
    node.builtinOptionsType = schema.BuiltinOptions.DepthwiseConv2DOptions
    kind = getattr(schema.TensorType, _TYPES[input.dtype.name])
    constants = filter.reshape(1, height, width, depth), np.zeros(depth, filter.dtype)
    buffers = [np.zeros(0, "u1"), *(array.reshape(-1).view("u1") for array in constants)]
    shapes = input.shape, *(array.shape for array in constants), (len(input), *g.outputs, depth)
    tensors = [schema.TensorT(list(shapes[i]), kind, buffer=i % 3) for i in range(4)]
    graph = schema.SubGraphT(tensors, inputs=[0], outputs=[3], operators=[node])
    model = schema.ModelT(3, [code], [graph], buffers=[schema.BufferT(data) for data in buffers])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    runner = interpreter.Interpreter(model_content=bytes(builder.Output()))
    runner.allocate_tensors()
    runner.set_tensor(0, input)
    runner.invoke()
    return runner.get_tensor(3)
