// The types of the elements, as bits in memory. TensorFlow's (Eigen's) types have the same bits.
#pragma once

#include <cstdint>

namespace tf_dwbp::cpu {

struct Half {
  uint16_t bits;
};

struct Bfloat16 {
  uint16_t bits;
};

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

}  // namespace tf_dwbp::cpu
