// An epilogue by its definition, for exact sums: what the forward op's results are compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cc/conv/epilogue.h"
#include "cc/tests/definition.h"

namespace tf_dwbp::testing {

// The value of an element.
template <typename T>
double wide(T element) {
  if constexpr (std::is_same_v<T, Half>) {
    const int exponent = element.bits >> 10 & 31, mantissa = element.bits & 1023;
    const double magnitude = exponent == 31  ? (mantissa == 0 ? INFINITY : NAN)
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(mantissa + 1024, exponent - 25);
    return (element.bits & 0x8000) != 0 ? -magnitude : magnitude;
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    const uint32_t bits = uint32_t{element.bits} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  } else {
    return element;
  }
}

// Bits of a mantissa, and the exponent of the least denormal.
template <typename T>
constexpr int kPrecision = std::is_same_v<T, Half>       ? 11
                           : std::is_same_v<T, Bfloat16> ? 8
                                                         : std::numeric_limits<T>::digits;
template <typename T>
constexpr int kLeastExponent = std::is_same_v<T, Half>     ? -24
                               : std::is_same_v<T, double> ? -1074
                                                           : -126 - kPrecision<T> + 1;

// The distance of numbers of the type around a value.
template <typename T>
long double unit_at(long double value) {
  const long double magnitude = std::fabs(value);
  const int exponent = magnitude > 0 ? std::ilogb(magnitude) - kPrecision<T> + 1 : INT32_MIN;
  return std::ldexp(1.0L, std::max(exponent, kLeastExponent<T>));
}

// The activation of x, rounded to nothing less than a long double.
long double activation(const conv::Epilogue& epilogue, long double x);

// Units in the last place that an activation may be off, in the type that sums are kept in. Powers
// multiply the error of their argument, and denormal ones lose bits: `loose` where that is allowed.
template <typename Acc>
long double units_allowed(const conv::Epilogue& epilogue, long double x, bool loose = false) {
  // gelu_tanh's power has an argument that doubles do not hold exactly.
  const bool power = x < 0 && epilogue.activation == conv::Activation::kGeluTanh &&
                     (loose || std::is_same_v<Acc, double>);
  const long double argument = std::min(std::fabs(1.6L * x + 0.08L * x * x * x), 800.0L);
  return (epilogue.activation == conv::Activation::kGelu ? 8 : 4) + (power ? 3 * argument : 0) +
         (loose ? std::min(std::fabs(x), 1000.0L) : 0);
}

// Whether results are those of sums of integers, and integers for a bias, if there is one.
template <typename T>
bool finished_right(const conv::Epilogue& epilogue, const Geometry& g, const std::vector<int>& sums,
                    const std::vector<int>& bias, const std::vector<T>& results,
                    bool loose = false) {
  const int64_t channels = g.out_channels(), positions = g.height.out * g.width.out;
  for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i) {
    const int64_t c = g.layout == Layout::kNHWC ? i % channels : i / positions % channels;
    const int x = sums[i] + (epilogue.bias ? bias[c] : 0);
    const long double expected = activation(epilogue, x);
    if (expected == std::floor(expected) && std::fabs(expected) < 1e6L && expected != 0) {
      if (!same(results[i], from_int<T>(static_cast<int>(expected)))) return false;
      continue;
    }
    const long double off = std::fabs(wide(results[i]) - expected);
    const long double allowed =
        units_allowed<AccumulatorOf<T>>(epilogue, x, loose) * unit_at<AccumulatorOf<T>>(expected) +
        unit_at<T>(expected) / 2;
    if (!(off <= allowed)) return false;
  }
  return true;
}

}  // namespace tf_dwbp::testing
