// Eigen's packets, and its conversions of 16-bit types, as eigen.cc needs them. For what is
// compiled once, with the baseline's flags: the linker would merge Eigen's inline functions of
// several instruction sets.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <type_traits>

#include "cc/conv/dtype.h"

namespace tf_dwbp::cpu::eigen {

template <typename Acc>
using Packet = typename Eigen::internal::packet_traits<Acc>::type;
template <typename Acc>
constexpr int64_t kPacket = Eigen::internal::unpacket_traits<Packet<Acc>>::size;

using Eigen::numext::bit_cast;

// Conversions give the bits that Eigen's give, rounded to nearest, ties to even. Eigen's branch,
// and compilers cannot make packets of them.
inline void convert(Half x, float* to) {
  // The exponent's bias is 112 less; denormals become normal on the way.
  const float scaled = bit_cast<float>((x.bits & 0x7fffu) << 13) * 0x1p112f;
  const uint32_t infinite = scaled >= 0x1p16f ? 0x7f800000u : 0u;  // or NaN
  *to = bit_cast<float>(bit_cast<uint32_t>(scaled) | infinite | (x.bits & 0x8000u) << 16);
}
inline void convert(float x, Half* to) {
  const uint32_t bits = bit_cast<uint32_t>(x), magnitude = bits & 0x7fffffffu;
  const uint32_t even = magnitude >> 13 & 1;
  const uint32_t normal = (magnitude + 0xfffu + even - (112u << 23)) >> 13;
  // A sum with 1/2 is rounded to multiples of the least half.
  const uint32_t denormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t half = magnitude < 0x38800000u ? denormal : normal;
  half = magnitude >= 0x47800000u ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  to->bits = static_cast<uint16_t>(half | (bits >> 16 & 0x8000u));
}
inline void convert(Bfloat16 x, float* to) { *to = bit_cast<float>(uint32_t{x.bits} << 16); }
inline void convert(float x, Bfloat16* to) {
  const uint32_t bits = bit_cast<uint32_t>(x), even = bits >> 16 & 1;
  const uint32_t rounded = (bits + 0x7fffu + even) >> 16;
  const uint32_t nan = (bits >> 16 & 0x8000u) | 0x7fc0u;
  to->bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}
inline void convert(float x, float* to) { *to = x; }
inline void convert(double x, double* to) { *to = x; }

template <int kValue>
using Constant = std::integral_constant<int, kValue>;

// f(value), with the value, 1 to kMost, as a constant.
template <int kMost, typename Function>
void with_constant(int64_t value, const Function& f) {
  if constexpr (kMost > 1) {
    if (value < kMost) return with_constant<kMost - 1>(value, f);
  }
  f(Constant<kMost>());
}

// Adds `value` to `sum`; what rounding took from it goes to `lost`. (Knuth's TwoSum)
template <typename P>
inline void add_compensated(P value, P* sum, P* lost) {
  using Eigen::internal::padd;
  using Eigen::internal::psub;
  const P total = padd(*sum, value), part = psub(total, *sum);
  *lost = padd(*lost, padd(psub(*sum, psub(total, part)), psub(value, part)));
  *sum = total;
}

}  // namespace tf_dwbp::cpu::eigen
