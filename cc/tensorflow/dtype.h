// Between conv's types and TensorFlow's, which have the same bits.
#pragma once

#include "cc/conv/problem.h"
#include "tensorflow/core/framework/types.h"

namespace tf_dwbp {

using conv::kDtypes;

template <typename T>
struct TensorflowType {
  using Type = T;
};
template <>
struct TensorflowType<Half> {
  using Type = Eigen::half;
};
template <>
struct TensorflowType<Bfloat16> {
  using Type = Eigen::bfloat16;
};

constexpr tensorflow::DataType to_tensorflow(Dtype dtype) {
  return with_dtype(dtype, [](auto t) {
    return tensorflow::DataTypeToEnum<typename TensorflowType<decltype(t)>::Type>::value;
  });
}

// Of one of the types that the ops are registered for.
constexpr Dtype to_dtype(tensorflow::DataType type) {
  for (const Dtype dtype : kDtypes) {
    if (to_tensorflow(dtype) == type) return dtype;
  }
  return kDtypes[0];
}

}  // namespace tf_dwbp
