// THE list of the types that elements may have. All that depends on it is made from it: kernels,
// their dispatch, the ops' attribute T, their registration. A new type is a line here, one in
// cc/sources.bzl, and its conversions: cc/cpu/kernels/simd.h, cc/cpu/eigen_packets.h,
// cc/gpu/device/, cc/tensorflow/dtype.h and DTYPES in tf_dwbp/tools/problem.py.
#pragma once

#include <cstdint>

namespace tf_dwbp {

// 16-bit types, as bits in memory. TensorFlow's (Eigen's) types have the same bits.
struct Half {
  uint16_t bits;
};

struct Bfloat16 {
  uint16_t bits;
};

// X(the enumerator, the C++ type, TensorFlow's name)
#define TF_DWBP_DTYPES(X)            \
  X(kHalf, Half, "half")             \
  X(kBfloat16, Bfloat16, "bfloat16") \
  X(kFloat, float, "float")          \
  X(kDouble, double, "double")

#define TF_DWBP_ENUMERATOR(kind, T, name) kind,
enum class Dtype { TF_DWBP_DTYPES(TF_DWBP_ENUMERATOR) };
#undef TF_DWBP_ENUMERATOR

// The type that sums are kept in: 16-bit types are rounded once, at the end.
template <typename T>
struct Accumulator {
  using Type = float;
};

template <>
struct Accumulator<double> {
  using Type = double;
};

template <typename T>
struct Accumulator<const T> : Accumulator<T> {};

template <typename T>
using AccumulatorOf = typename Accumulator<T>::Type;

#define TF_DWBP_OF(kind, T, name) \
  constexpr Dtype dtype_of(T) { return Dtype::kind; }
TF_DWBP_DTYPES(TF_DWBP_OF)
#undef TF_DWBP_OF

// function(T()), with T for the type, where only the running program knows it.
template <typename Function>
constexpr auto with_dtype(Dtype dtype, Function function) {
  switch (dtype) {
#define TF_DWBP_CASE(kind, T, name) \
  case Dtype::kind:                 \
    return function(T());
    TF_DWBP_DTYPES(TF_DWBP_CASE)
#undef TF_DWBP_CASE
  }
  __builtin_unreachable();  // GCOVR_EXCL_LINE: all types have been named
}

constexpr const char* name_of(Dtype dtype) {
  switch (dtype) {
#define TF_DWBP_CASE(kind, T, name) \
  case Dtype::kind:                 \
    return name;
    TF_DWBP_DTYPES(TF_DWBP_CASE)
#undef TF_DWBP_CASE
  }
  return "";  // GCOVR_EXCL_LINE: all types have been named
}

constexpr int64_t bytes_of(Dtype dtype) {
  return with_dtype(dtype, [](auto t) { return int64_t{sizeof(t)}; });
}

constexpr int64_t accumulator_bytes_of(Dtype dtype) {
  return with_dtype(dtype, [](auto t) { return int64_t{sizeof(AccumulatorOf<decltype(t)>)}; });
}

}  // namespace tf_dwbp
