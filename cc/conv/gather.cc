#include "cc/conv/gather.h"

#include <algorithm>
#include <numeric>

#include "cc/conv/math.h"

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

Gather Gather::input_grad(const Axis& axis) { return Gather(axis, false); }
Gather Gather::forward(const Axis& axis) { return Gather(axis, true); }

Gather::Gather(const Axis& axis, bool forward)
    : forward_(forward),
      result_(forward ? axis.out : axis.in),
      source_(forward ? axis.in : axis.out),
      taps_(axis.filter),
      stride_(axis.stride),
      dilation_(axis.dilation),
      pad_before_(axis.pad_before),
      gcd_(axis.stride / axis.reduced_stride()),
      tap_step_(forward ? 1 : axis.reduced_stride()),
      source_step_(forward ? axis.dilation : axis.reduced_dilation()),
      inverse_(forward ? 0 : inverse_modulo(source_step_, tap_step_)),
      phase_stride_(forward ? 1 : axis.stride),
      phase_shift_(forward ? axis.stride : 1) {
  const int64_t steps = source_step_ / std::gcd(source_step_, phase_shift_);
  period_ = phase_stride_ * steps;
  shift_ = phase_shift_ * steps / source_step_;
}

int64_t Gather::reach(int64_t positions) const {
  // In floating point, since the first product may exceed 64 bits with the second.
  double reach = static_cast<double>(taps_ - 1) * dilation_;
  if (forward_) {
    reach += static_cast<double>(positions - 1) * stride_;
  } else {
    reach = (reach + positions - 1) / stride_;
  }
  if (reach >= source_) return std::max<int64_t>(1, source_);
  return std::min(source_, static_cast<int64_t>(reach) + 1);
}

Gathering Gathering::input_grad(const Geometry& g) {
  return {g.layout,
          g.batch,
          g.channels,
          g.multiplier,
          /*repeat=*/1,
          /*reversed=*/false,
          Gather::input_grad(g.height),
          Gather::input_grad(g.width)};
}

Gathering Gathering::forward(const Geometry& g) {
  return {g.layout,
          g.batch,
          g.out_channels(),
          /*multiplier=*/1,
          g.multiplier,
          /*reversed=*/true,
          Gather::forward(g.height),
          Gather::forward(g.width)};
}

}  // namespace tf_dwbp::conv
