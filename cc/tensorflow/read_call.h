// From TensorFlow's attributes, tensors and shapes to conv::Call, for OpKernels, shape functions
// and XLA alike.
#pragma once

#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "cc/conv/attributes.h"
#include "cc/conv/call.h"
#include "cc/conv/epilogue.h"
#include "cc/conv/export.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace tf_dwbp {

inline absl::Status to_status(const conv::Error& error) {
  return error.empty() ? absl::OkStatus() : absl::InvalidArgumentError(error);
}

// Runs what gives a status. TensorFlow does not expect exceptions, and a machine without memory is
// an error of this call alone.
template <typename Function>
absl::Status without_bad_alloc(Function function) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("there is no memory for the call");
  }
}

// Context is an OpKernelConstruction or a shape_inference::InferenceContext.
template <typename Context>
absl::Status read_attributes(Context* context, conv::Attributes* attributes) {
  conv::UserAttributes user;
  for (auto [name, list] : {std::pair("strides", &user.strides),
                            std::pair("explicit_paddings", &user.explicit_paddings),
                            std::pair("dilations", &user.dilations)}) {
    absl::Status status = context->GetAttr(name, list);
    if (!status.ok()) return status;
  }
  for (auto [name, text] :
       {std::pair("padding", &user.padding), std::pair("data_format", &user.data_format)}) {
    absl::Status status = context->GetAttr(name, text);
    if (!status.ok()) return status;
  }
  return to_status(conv::check_attributes(user, attributes));
}

// The input of the fused op that is its bias, if there is one.
constexpr int kBiasInput = 2;

// The epilogue of the fused op, from its attributes. Context as above.
template <typename Context>
absl::Status read_epilogue(Context* context, conv::Epilogue* epilogue) {
  int64_t biases = 0;
  std::string activation;
  absl::Status status = context->GetAttr("num_bias", &biases);
  if (status.ok()) status = context->GetAttr("activation", &activation);
  if (status.ok()) status = context->GetAttr("alpha", &epilogue->alpha);
  if (!status.ok()) return status;
  if (biases > 1) {
    return to_status("bias must be one tensor at most, but there are " + std::to_string(biases));
  }
  epilogue->bias = biases == 1;
  conv::read_name(activation, conv::kActivations, &epilogue->activation);  // it is one of them
  return to_status(conv::check_alpha(epilogue->alpha));
}

// Fills in the shapes of a call whose attributes are read, and checks it. Of its inputs
//   absl::Status read_shape(int input, conv::Shape* shape)
// reads the tensors' shapes, and
//   absl::Status read_sizes(int input, const char* name, conv::Shape* shape)
// the sizes of the result, which stand where the result itself would. The forward op takes none.
template <typename ReadShape, typename ReadSizes>
absl::Status read_call(conv::Call* call, ReadShape read_shape, ReadSizes read_sizes) {
  using conv::Operand;
  for (const Operand operand : {Operand::kInput, Operand::kFilter, Operand::kOutput}) {
    const int input = static_cast<int>(operand);
    conv::Shape* const shape = &call->shape(operand);
    absl::Status status;
    if (operand != conv::result_of(call->op)) {
      status = read_shape(input, shape);
    } else if (call->op != conv::Op::kForward) {
      status = read_sizes(input, call->name(operand), shape);
    }
    if (!status.ok()) return status;
  }
  if (call->epilogue.bias) {
    const absl::Status status = read_shape(kBiasInput, &call->bias);
    if (!status.ok()) return status;
  }
  return to_status(conv::check_call(call));
}

// A vector of more sizes is refused by its shape, not with all that it holds.
constexpr int64_t kMostSizesShown = 16;

// The error for a tensor of that shape where the four sizes of another were expected.
absl::Status not_a_vector(const char* name, const std::string& shape);

// The value of an int32 vector that holds the four sizes of a tensor, at any address.
TF_DWBP_EXPORT absl::Status read_sizes(const char* name, const tensorflow::Tensor& tensor,
                                       conv::Shape* shape);

conv::Shape to_shape(const tensorflow::TensorShape& shape);
conv::Shape to_shape(tensorflow::shape_inference::InferenceContext* context,
                     tensorflow::shape_inference::ShapeHandle shape);

}  // namespace tf_dwbp
