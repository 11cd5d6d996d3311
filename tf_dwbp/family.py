"""The family's names, ours and stock's."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Op:
    """One op of the family."""

    stock: str  # what stock TensorFlow calls the op in graphs and in tf.raw_ops
    stock_function: str  # in TensorFlow's generated Python
    function: str  # in tf_dwbp.ops

    @property
    def ours(self) -> str:
        """What our op is called in graphs."""
        return f"TfDwbp>{self.stock}"


OPS = {
    "forward": Op("DepthwiseConv2dNative", "depthwise_conv2d_native", "depthwise_conv2d"),
    "input_grad": Op(
        "DepthwiseConv2dNativeBackpropInput",
        "depthwise_conv2d_native_backprop_input",
        "depthwise_conv2d_backprop_input",
    ),
    "filter_grad": Op(
        "DepthwiseConv2dNativeBackpropFilter",
        "depthwise_conv2d_native_backprop_filter",
        "depthwise_conv2d_backprop_filter",
    ),
}

# Ours, the forward op with an epilogue, and its function in tf_dwbp.ops.
OUR_FUSED = "TfDwbp>FusedDepthwiseConv2dNative"
FUSED_FUNCTION = "fused_depthwise_conv2d"

# What stock TensorFlow on CPU makes of a forward op and what follows it.
FUSED = "_FusedDepthwiseConv2dNative"
