// Registers the ops: inputs, attributes, types and defaults are stock TensorFlow's.

#include <vector>

#include "cc/conv/call.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tf_dwbp {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// What can be said of input_sizes while tracing: its value, a part of it, its length or nothing.
absl::Status read_input_sizes(InferenceContext* context, conv::Shape* shape) {
  if (const tensorflow::Tensor* value = context->input_tensor(0)) {
    return read_sizes("input_sizes", *value, shape);
  }
  const ShapeHandle vector = context->input(0);
  if (context->RankKnown(vector) && context->Rank(vector) != 1) {
    return not_a_vector("input_sizes", context->DebugString(vector));
  }
  ShapeHandle partial;
  TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(0, &partial));
  *shape = to_shape(context, partial);
  return absl::OkStatus();
}

absl::Status input_grad_shape(InferenceContext* context) {
  conv::Call call{"input_sizes", "filter", "out_backprop", {}, {}, {}, {}};
  TF_RETURN_IF_ERROR(read_attributes(context, &call.attributes));
  TF_RETURN_IF_ERROR(read_input_sizes(context, &call.input));
  call.filter = to_shape(context, context->input(1));
  call.output = to_shape(context, context->input(2));
  TF_RETURN_IF_ERROR(to_status(conv::check_call(&call)));

  std::vector<DimensionHandle> sizes;
  for (int64_t size : *call.input) {
    sizes.push_back(size == conv::kUnknown ? context->UnknownDim() : context->MakeDim(size));
  }
  context->set_output(0, context->MakeShape(sizes));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("TfDwbp>DepthwiseConv2dNativeBackpropInput")
    .Input("input_sizes: int32")
    .Input("filter: T")
    .Input("out_backprop: T")
    .Output("output: T")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("strides: list(int)")
    .Attr("padding: {'SAME', 'VALID', 'EXPLICIT'}")
    .Attr("explicit_paddings: list(int) = []")
    .Attr("data_format: {'NHWC', 'NCHW'} = 'NHWC'")
    .Attr("dilations: list(int) = [1, 1, 1, 1]")
    .SetShapeFn(input_grad_shape)
    .Doc(R"doc(
The gradient of depthwise 2-D convolution with respect to its input.

The semantics are those of DepthwiseConv2dNativeBackpropInput, in every combination of its
attributes and types.

input_sizes: The shape of the input, in the order of data_format.
filter: [filter_height, filter_width, in_channels, depth_multiplier].
out_backprop: The gradient with respect to the output of the convolution.
output: The gradient with respect to its input; its shape is input_sizes.
strides: 4 strides in the order of data_format; those of batch and channels must be 1.
explicit_paddings: With EXPLICIT, 8 amounts: before and after each dimension of data_format.
dilations: 4 dilations in the order of data_format; those of batch and channels must be 1.
)doc");

}  // namespace tf_dwbp
