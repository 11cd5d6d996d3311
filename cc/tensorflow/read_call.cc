#include "cc/tensorflow/read_call.h"

#include <cstring>
#include <utility>
#include <vector>

namespace tf_dwbp {

absl::Status not_a_vector(const char* name, const std::string& shape) {
  return to_status(std::string(name) + " must be a vector of 4 elements, but has shape " + shape);
}

absl::Status read_sizes(const char* name, const tensorflow::Tensor& tensor, conv::Shape* shape) {
  if (tensor.dims() != 1 || tensor.dim_size(0) > kMostSizesShown) {
    return not_a_vector(name, tensor.shape().DebugString());
  }
  if (tensor.dtype() != tensorflow::DT_INT32) {
    return absl::InvalidArgumentError(std::string(name) + " must be int32, but is " +
                                      tensorflow::DataTypeString(tensor.dtype()));
  }
  // Not vec(), which ends the process where the tensor is not aligned as Eigen wants it.
  std::vector<int32_t> values(tensor.dim_size(0));
  if (!values.empty()) std::memcpy(values.data(), tensor.data(), values.size() * sizeof(int32_t));
  std::vector<int64_t> sizes(values.begin(), values.end());
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
