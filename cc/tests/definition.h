// The definition, written out, for numbers that are exact in every type: what kernels are compared
// with, bit by bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "cc/conv/call.h"
#include "cc/conv/geometry.h"
#include "cc/cpu/element.h"

namespace tf_dwbp::testing {

using conv::Axis;
using conv::Geometry;
using conv::Layout;
using conv::Op;
using cpu::Bfloat16;
using cpu::Half;

// Rounds to the nearest integer of `bits` significant bits, ties to even.
inline int round_to(int bits, int value) {
  int unit = 1;
  while (std::abs(value) / unit >> bits != 0) unit *= 2;
  const int below = std::abs(value) / unit, rest = std::abs(value) % unit;
  const bool up = 2 * rest > unit || (2 * rest == unit && below % 2 == 1);
  return (value < 0 ? -unit : unit) * (below + (up ? 1 : 0));
}

// Integers so small that they are exact in float, and so are their sums here.
template <typename T>
T from_int(int value) {
  if constexpr (std::is_same_v<T, Half>) value = round_to(11, value);
  if constexpr (std::is_same_v<T, Bfloat16>) value = round_to(8, value);
  if constexpr (std::is_same_v<T, Half>) {
    if (value == 0) return {0};
    const int magnitude = std::abs(value);
    const int exponent = std::ilogb(static_cast<double>(magnitude));
    const int mantissa = (magnitude << 10 >> exponent) & 0x3ff;
    return {static_cast<uint16_t>((value < 0) << 15 | (exponent + 15) << 10 | mantissa)};
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    const float wide = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &wide, sizeof bits);
    return {static_cast<uint16_t>(bits >> 16)};
  } else {
    return static_cast<T>(value);
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
inline std::vector<int> by_definition(Op op, const Geometry& g, const std::vector<int>& a,
                                      const std::vector<int>& b) {
  std::vector<int> result(elements_of(result_of(op), g));
  const Axis &h = g.height, &w = g.width;
  for (int64_t n = 0; n < g.batch; ++n)
    for (int64_t oy = 0; oy < h.out; ++oy)
      for (int64_t ox = 0; ox < w.out; ++ox)
        for (int64_t ky = 0; ky < h.filter; ++ky)
          for (int64_t kx = 0; kx < w.filter; ++kx) {
            const int64_t iy = oy * h.stride + ky * h.dilation - h.pad_before;
            const int64_t ix = ox * w.stride + kx * w.dilation - w.pad_before;
            if (iy < 0 || iy >= h.in || ix < 0 || ix >= w.in) continue;
            for (int64_t c = 0; c < g.channels; ++c)
              for (int64_t m = 0; m < g.multiplier; ++m) {
                const int64_t channel = c * g.multiplier + m;
                const int64_t i = offset(g.layout, n, iy, ix, c, h.in, w.in, g.channels);
                const int64_t f = (ky * w.filter + kx) * g.out_channels() + channel;
                const int64_t o =
                    offset(g.layout, n, oy, ox, channel, h.out, w.out, g.out_channels());
                switch (op) {
                  case Op::kForward:
                    result[o] += a[i] * b[f];
                    break;
                  case Op::kInputGrad:
                    result[i] += a[f] * b[o];
                    break;
                  case Op::kFilterGrad:
                    result[f] += a[i] * b[o];
                    break;
                }
              }
          }
  return result;
}

inline std::vector<int> pattern(int64_t elements, int seed) {
  std::vector<int> values(elements);
  for (int& value : values) {
    seed = (seed * 1103 + 12345) & 0xffff;
    value = seed % 5 - 2;
  }
  return values;
}

inline std::string describe(Op op, const Geometry& g) {
  const auto text = [](const Axis& a) {
    return std::to_string(a.in) + " -> " + std::to_string(a.out) + " (filter " +
           std::to_string(a.filter) + ", stride " + std::to_string(a.stride) + ", dilation " +
           std::to_string(a.dilation) + ", pad " + std::to_string(a.pad_before) + ")";
  };
  constexpr const char* kNames[] = {"forward, ", "input gradient, ", "filter gradient, "};
  return kNames[static_cast<int>(op)] +
         std::string(g.layout == Layout::kNHWC ? "NHWC, batch " : "NCHW, batch ") +
         std::to_string(g.batch) + ", channels " + std::to_string(g.channels) + " x " +
         std::to_string(g.multiplier) + ", height " + text(g.height) + ", width " + text(g.width);
}

}  // namespace tf_dwbp::testing
