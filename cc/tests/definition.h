// The definition, written out, for numbers that are exact in every type: what kernels are compared
// with, bit by bit.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "cc/conv/call.h"
#include "cc/conv/dtype.h"
#include "cc/conv/geometry.h"

namespace tf_dwbp::testing {

using conv::Axis;
using conv::Geometry;
using conv::Layout;
using conv::Op;

// Rounds to the nearest integer of `bits` significant bits, ties to even.
inline int round_to(int bits, int value) {
  const int magnitude = std::abs(value);
  if (magnitude >> bits == 0) return value;
  const int dropped = 32 - __builtin_clz(static_cast<unsigned>(magnitude)) - bits;
  const int below = magnitude >> dropped, rest = magnitude - (below << dropped);
  const int half = 1 << (dropped - 1);
  const bool up = rest > half || (rest == half && below % 2 == 1);
  const int rounded = (below + (up ? 1 : 0)) << dropped;
  return value < 0 ? -rounded : rounded;
}

// Integers so small that they are exact in float, and so are their sums here. Zero is +0.
template <typename T>
T from_int(int value) {
  if constexpr (std::is_same_v<T, Half>) {
    value = round_to(11, value);
    if (value == 0) return {0};
    const int magnitude = std::abs(value);
    const int sign = (value < 0) << 15;
    if (magnitude > 65504) return {static_cast<uint16_t>(sign | 0x7c00)};
    const int exponent = 31 - __builtin_clz(static_cast<unsigned>(magnitude));
    const int mantissa = (magnitude << 10 >> exponent) & 0x3ff;
    return {static_cast<uint16_t>(sign | (exponent + 15) << 10 | mantissa)};
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    const float wide = static_cast<float>(round_to(8, value));
    uint32_t bits;
    std::memcpy(&bits, &wide, sizeof bits);
    return {static_cast<uint16_t>(bits >> 16)};
  } else {
    return static_cast<T>(value);
  }
}

template <typename T>
T minus_zero() {
  if constexpr (std::is_floating_point_v<T>) {
    return -T{0};
  } else {
    return {0x8000};
  }
}

template <typename T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a == b;
  } else {
    return a.bits == b.bits || ((a.bits | b.bits) & 0x7fff) == 0;
  }
}

// Offset of an element in a tensor of `channels` planes.
inline int64_t offset(Layout layout, int64_t b, int64_t y, int64_t x, int64_t c, int64_t height,
                      int64_t width, int64_t channels) {
  return layout == Layout::kNHWC ? ((b * height + y) * width + x) * channels + c
                                 : ((b * channels + c) * height + y) * width + x;
}

inline int64_t elements_of(conv::Operand operand, const Geometry& g) {
  return operand == conv::Operand::kInput    ? g.input_elements()
         : operand == conv::Operand::kFilter ? g.filter_elements()
                                             : g.output_elements();
}

// Walks over all that the filter links, and adds products to the result.
std::vector<int> by_definition(Op op, const Geometry& g, const std::vector<int>& a,
                               const std::vector<int>& b);

inline std::vector<int> pattern(int64_t elements, int seed) {
  std::vector<int> values(elements);
  for (int& value : values) {
    seed = (seed * 1103 + 12345) & 0xffff;
    value = seed % 5 - 2;
  }
  return values;
}

inline std::string describe(const Axis& a) {
  return std::to_string(a.in) + " -> " + std::to_string(a.out) + " (filter " +
         std::to_string(a.filter) + ", stride " + std::to_string(a.stride) + ", dilation " +
         std::to_string(a.dilation) + ", pad " + std::to_string(a.pad_before) + ")";
}

inline std::string describe(Op op, const Geometry& g) {
  constexpr const char* kNames[] = {"forward, ", "input gradient, ", "filter gradient, "};
  return kNames[static_cast<int>(op)] +
         std::string(g.layout == Layout::kNHWC ? "NHWC, batch " : "NCHW, batch ") +
         std::to_string(g.batch) + ", channels " + std::to_string(g.channels) + " x " +
         std::to_string(g.multiplier) + ", height " + describe(g.height) + ", width " +
         describe(g.width);
}

}  // namespace tf_dwbp::testing
