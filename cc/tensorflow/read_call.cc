#include "cc/tensorflow/read_call.h"

#include <utility>
#include <vector>

namespace tf_dwbp {

absl::Status not_a_vector(const char* name, const std::string& shape) {
  return to_status(std::string(name) + " must be a vector of 4 elements, but has shape " + shape);
}

absl::Status read_sizes(const char* name, const tensorflow::Tensor& tensor, conv::Shape* shape) {
  if (tensor.dims() != 1) return not_a_vector(name, tensor.shape().DebugString());
  const auto values = tensor.vec<int32_t>();
  std::vector<int64_t> sizes(values.data(), values.data() + values.size());
  conv::Error error = conv::check_sizes(name, sizes);
  *shape = std::move(sizes);
  return to_status(error);
}

conv::Shape to_shape(const tensorflow::TensorShape& shape) {
  std::vector<int64_t> sizes;
  for (int i = 0; i < shape.dims(); ++i) sizes.push_back(shape.dim_size(i));
  return sizes;
}

conv::Shape to_shape(tensorflow::shape_inference::InferenceContext* context,
                     tensorflow::shape_inference::ShapeHandle shape) {
  if (!context->RankKnown(shape)) return std::nullopt;
  std::vector<int64_t> sizes;
  for (int i = 0; i < context->Rank(shape); ++i) {
    const auto size = context->Dim(shape, i);
    sizes.push_back(context->ValueKnown(size) ? context->Value(size) : conv::kUnknown);
  }
  return sizes;
}

}  // namespace tf_dwbp
