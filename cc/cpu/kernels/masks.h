// Multiply-adds in some lanes of a vector.
#pragma once

#include <type_traits>  // types alone

#include "cc/cpu/kernels/simd.h"

namespace tf_dwbp::cpu {
namespace {

// sum += a * b in the lanes of a mask, one bit for each.
#if defined(__AVX512F__)
inline void add_in(uint32_t mask, FloatVector a, FloatVector b, FloatVector* sum) {
  *sum = bit_cast<FloatVector>(_mm512_mask3_fmadd_ps(bit_cast<__m512>(a), bit_cast<__m512>(b),
                                                     bit_cast<__m512>(*sum),
                                                     static_cast<__mmask16>(mask)));
}
inline void add_in(uint32_t mask, DoubleVector a, DoubleVector b, DoubleVector* sum) {
  *sum = bit_cast<DoubleVector>(_mm512_mask3_fmadd_pd(bit_cast<__m512d>(a), bit_cast<__m512d>(b),
                                                      bit_cast<__m512d>(*sum),
                                                      static_cast<__mmask8>(mask)));
}
inline uint32_t mask_of(FloatVector, uint32_t bits) { return bits; }
inline uint32_t mask_of(DoubleVector, uint32_t bits) { return bits; }
#else
template <typename V>
inline void add_in(IndexOf<V> mask, V a, V b, V* sum) {
  const V added = *sum + a * b;
  *sum = mask ? added : *sum;
}
template <typename V>
inline IndexOf<V> mask_of(V, uint32_t bits) {
  IndexOf<V> bit{};
  for (int lane = 0; lane < Lanes<std::decay_t<decltype(V{}[0])> >::kCount; ++lane) {
    bit[lane] = 1 << lane;
  }
  return ((IndexOf<V>{} + static_cast<int>(bits)) & bit) != 0;
}
#endif

// Whether a mask costs a multiply-add nothing.
#if defined(__AVX512F__)
constexpr bool kMasksAreFree = true;
#else
constexpr bool kMasksAreFree = false;
#endif

}  // namespace
}  // namespace tf_dwbp::cpu
