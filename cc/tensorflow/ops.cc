// Registers the ops: inputs, attributes, types and defaults are stock TensorFlow's.

#include <vector>

#include "cc/conv/call.h"
#include "cc/conv/dtype.h"
#include "cc/tensorflow/first_copy.h"
#include "cc/tensorflow/names.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tf_dwbp {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// What can be said of sizes that are data while tracing: their value, a part of it, their number
// or nothing.
absl::Status read_sizes_input(InferenceContext* context, const char* name, int input,
                              conv::Shape* shape) {
  if (const tensorflow::Tensor* value = context->input_tensor(input)) {
    return read_sizes(name, *value, shape);
  }
  const ShapeHandle vector = context->input(input);
  if (context->RankKnown(vector) &&
      (context->Rank(vector) != 1 || context->Value(context->Dim(vector, 0)) > kMostSizesShown)) {
    return not_a_vector(name, context->DebugString(vector));
  }
  ShapeHandle partial;
  TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(input, &partial));
  *shape = to_shape(context, partial);
  return absl::OkStatus();
}

template <conv::Op op, bool fused>
absl::Status infer_known_shape(InferenceContext* context) {
  conv::Call call(op);
  TF_RETURN_IF_ERROR(read_attributes(context, &call.attributes));
  if (fused) TF_RETURN_IF_ERROR(read_epilogue(context, &call.epilogue));
  TF_RETURN_IF_ERROR(read_call(
      &call,
      [context](int input, conv::Shape* shape) {
        *shape = to_shape(context, context->input(input));
        return absl::OkStatus();
      },
      [context](int input, const char* name, conv::Shape* shape) {
        return read_sizes_input(context, name, input, shape);
      }));

  std::vector<DimensionHandle> sizes;
  for (int64_t size : *call.shape(conv::result_of(op))) {
    sizes.push_back(size == conv::kUnknown ? context->UnknownDim() : context->MakeDim(size));
  }
  context->set_output(0, context->MakeShape(sizes));
  return absl::OkStatus();
}

template <conv::Op op, bool fused = false>
absl::Status infer_shape(InferenceContext* context) {
  return without_bad_alloc([&] { return infer_known_shape<op, fused>(context); });
}

// "T: {half, bfloat16, ...}"
#define TF_DWBP_NAME(kind, T, name) name ", "
constexpr char kTypes[] = "T: {" TF_DWBP_DTYPES(TF_DWBP_NAME) "}";
#undef TF_DWBP_NAME

// "activation: {'linear', 'relu', ...} = 'linear'"
#define TF_DWBP_NAME(kind, name) "'" name "', "
constexpr char kActivationAttribute[] =
    "activation: {" TF_DWBP_ACTIVATIONS(TF_DWBP_NAME) "} = 'linear'";
#undef TF_DWBP_NAME

// What the ops have in common after their inputs.
#define TF_DWBP_ATTRIBUTES(...)                       \
  Output("output: T")                                 \
      .Attr(kTypes)                                   \
      .Attr("strides: list(int)")                     \
      .Attr("padding: {'SAME', 'VALID', 'EXPLICIT'}") \
      .Attr("explicit_paddings: list(int) = []")      \
      .Attr("data_format: {'NHWC', 'NCHW'} = 'NHWC'") \
      .Attr("dilations: list(int) = [1, 1, 1, 1]")    \
      .SetShapeFn(infer_shape<__VA_ARGS__>)

// Not REGISTER_OP, which does not look first; returns whether it registered them.
bool register_ops() {
  using tensorflow::register_op::OpDefBuilderWrapper;
  if (!is_first_copy()) return false;
  OpDefBuilderWrapper(op_name(conv::Op::kForward))
      .Input("input: T")
      .Input("filter: T")
      .TF_DWBP_ATTRIBUTES(conv::Op::kForward)
      .Doc(R"doc(
Depthwise 2-D convolution.

The semantics are those of DepthwiseConv2dNative, in every combination of its attributes and types.

input: 4-D, in the order of data_format.
filter: [filter_height, filter_width, in_channels, depth_multiplier].
output: 4-D, in the order of data_format, with in_channels * depth_multiplier channels.
strides: 4 strides in the order of data_format; those of batch and channels must be 1.
explicit_paddings: With EXPLICIT, 8 amounts: before and after each dimension of data_format.
dilations: 4 dilations in the order of data_format; those of batch and channels must be 1.
)doc")();

  OpDefBuilderWrapper(op_name(conv::Op::kInputGrad))
      .Input("input_sizes: int32")
      .Input("filter: T")
      .Input("out_backprop: T")
      .TF_DWBP_ATTRIBUTES(conv::Op::kInputGrad)
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
)doc")();

  OpDefBuilderWrapper(op_name(conv::Op::kFilterGrad))
      .Input("input: T")
      .Input("filter_sizes: int32")
      .Input("out_backprop: T")
      .TF_DWBP_ATTRIBUTES(conv::Op::kFilterGrad)
      .Doc(R"doc(
The gradient of depthwise 2-D convolution with respect to its filter.

The semantics are those of DepthwiseConv2dNativeBackpropFilter, in every combination of its
attributes and types.

input: 4-D, in the order of data_format.
filter_sizes: [filter_height, filter_width, in_channels, depth_multiplier], of the filter.
out_backprop: The gradient with respect to the output of the convolution.
output: The gradient with respect to its filter; its shape is filter_sizes.
strides: 4 strides in the order of data_format; those of batch and channels must be 1.
explicit_paddings: With EXPLICIT, 8 amounts: before and after each dimension of data_format.
dilations: 4 dilations in the order of data_format; those of batch and channels must be 1.
)doc")();

  OpDefBuilderWrapper(kFusedName)
      .Input("input: T")
      .Input("filter: T")
      .Input("bias: num_bias * T")
      .Attr("num_bias: int >= 0")
      .Attr(kActivationAttribute)
      .Attr("alpha: float = 0.2")
      .TF_DWBP_ATTRIBUTES(conv::Op::kForward, true)
      .Doc(R"doc(
Depthwise 2-D convolution, whose sums get a bias and an activation before they are rounded.

input: 4-D, in the order of data_format.
filter: [filter_height, filter_width, in_channels, depth_multiplier].
bias: None, or one: [in_channels * depth_multiplier].
output: 4-D, in the order of data_format, with in_channels * depth_multiplier channels.
activation: By Keras's names.
alpha: Of leaky_relu, the slope for what is negative.
strides: 4 strides in the order of data_format; those of batch and channels must be 1.
explicit_paddings: With EXPLICIT, 8 amounts: before and after each dimension of data_format.
dilations: 4 dilations in the order of data_format; those of batch and channels must be 1.
)doc")();
  return true;
}

[[maybe_unused]] const bool registered = register_ops();

}  // namespace
}  // namespace tf_dwbp
