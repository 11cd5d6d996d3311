"""What stock TensorFlow has for a forward op with an epilogue.

Its optimizer makes `_FusedDepthwiseConv2dNative` of a depthwise op, a bias and an activation where
oneDNN computes that: float, bfloat16, on some machines half, NHWC, Relu, Relu6 or Elu after a bias.
"""

from tf_dwbp import family

_ACTIVATIONS = {"relu": "Relu", "relu6": "Relu6", "elu": "Elu", "leaky_relu": "LeakyRelu"}


def call(input, filter, bias, activation, alpha, explicit_paddings, **attributes):  # noqa: A002
    """Stock's fused op, with the arguments of `tf_dwbp.ops.fused_depthwise_conv2d`.

    Raises:
      NotImplementedError: stock fuses no such thing.
      tf.errors.OpError: it has no kernel for this, or a placeholder, which computes nothing.
    """
    import tensorflow as tf
    from tensorflow.python.framework import op_def_library

    if activation not in ("linear", *_ACTIVATIONS):
        raise NotImplementedError(f"stock fuses no {activation}")
    if explicit_paddings:
        raise NotImplementedError("stock fuses nothing with explicit paddings")
    fused_ops = [] if bias is None else ["BiasAdd"]
    fused_ops += [] if activation == "linear" else [_ACTIVATIONS[activation]]

    @tf.function(autograph=False)  # a graph, which stock goes over once more for oneDNN
    def fused(input, filter, args):  # noqa: A002
        result = op_def_library.apply_op(
            family.FUSED,
            input=input,
            filter=filter,
            args=args,
            fused_ops=fused_ops,
            epsilon=0.0,
            leakyrelu_alpha=alpha,
            name="fused",
            **attributes,
        )
        return tf.ensure_shape(result, result.shape)

    tensors = input, filter, [] if bias is None else [bias]
    return fused.get_concrete_function(*tensors)(*tensors)  # once: more calls would make a warning
