#include "cc/conv/taps.h"

#include <algorithm>
#include <numeric>

namespace tf_dwbp::conv {
namespace {

// The x in [0, modulus) with value * x = 1 (mod modulus), by the extended Euclidean algorithm;
// the two are coprime.
int64_t inverse_modulo(int64_t value, int64_t modulus) {
  int64_t a = modulus, b = value % modulus;
  int64_t x_a = 0, x_b = 1;
  while (b != 0) {
    const int64_t quotient = a / b;
    a -= quotient * b;
    std::swap(a, b);
    x_a -= quotient * x_b;
    std::swap(x_a, x_b);
  }
  return (x_a % modulus + modulus) % modulus;
}

}  // namespace

TapFinder::TapFinder(const Axis& axis)
    : axis_(axis),
      gcd_(std::gcd(axis.stride, axis.dilation)),
      tap_step_(axis.stride / gcd_),
      out_step_(axis.dilation / gcd_),
      inverse_(inverse_modulo(out_step_, tap_step_)) {}

TapRange TapFinder::without_borders(int64_t input_position) const {
  const int64_t position = input_position + axis_.pad_before;
  if (position % gcd_ != 0) return {};
  const int64_t tap = position / gcd_ % tap_step_ * inverse_ % tap_step_;
  if (tap >= axis_.filter) return {};
  return {tap, (position - tap * axis_.dilation) / axis_.stride,
          (axis_.filter - 1 - tap) / tap_step_ + 1};
}

TapRange TapFinder::at(int64_t input_position) const {
  const int64_t position = input_position + axis_.pad_before;
  int64_t tap = 0;
  int64_t out = position;
  if (axis_.stride > 1) {
    if (position % gcd_ != 0) return {};
    tap = position / gcd_ % tap_step_ * inverse_ % tap_step_;
    out = (position - tap * axis_.dilation) / axis_.stride;
    // The division truncates, so a negative numerator has to be caught before it.
    if (tap * axis_.dilation > position) return {};
  }
  if (out >= axis_.out) {
    const int64_t skipped = (out - axis_.out) / out_step_ + 1;
    tap += skipped * tap_step_;
    out -= skipped * out_step_;
  }
  if (out < 0 || tap >= axis_.filter) return {};
  return {tap, out, std::min((axis_.filter - 1 - tap) / tap_step_, out / out_step_) + 1};
}

}  // namespace tf_dwbp::conv
