// Which filter taps and which output positions meet at an input position.
#pragma once

#include <cstdint>

#include "cc/conv/geometry.h"

namespace tf_dwbp::conv {

// `count` taps, the first at `tap` where it meets output position `out`. From one to the next
// the tap grows by TapFinder::tap_step() and the output position falls by out_step().
struct TapRange {
  int64_t tap = 0;
  int64_t out = 0;
  int64_t count = 0;
};

// Input position i meets tap k at output position o where o * stride + k * dilation = i + pad.
// Modulo the stride that is one congruence for k, so that its solutions, inside the filter and
// inside the output, are an arithmetic progression. Solved here once and for all, kernels need
// no test of divisibility, for any stride and dilation.
class TapFinder {
 public:
  explicit TapFinder(const Axis& axis);

  TapRange at(int64_t input_position) const;
  // Those at `input_position` if out_backprop had no borders; `out` may lie outside.
  TapRange without_borders(int64_t input_position) const;

  int64_t tap_step() const { return tap_step_; }
  int64_t out_step() const { return out_step_; }

 private:
  Axis axis_;
  int64_t gcd_;
  int64_t tap_step_;  // stride / gcd(stride, dilation)
  int64_t out_step_;  // dilation / gcd(stride, dilation)
  int64_t inverse_;   // of out_step_ modulo tap_step_
};

}  // namespace tf_dwbp::conv
