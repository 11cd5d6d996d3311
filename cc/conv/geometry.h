// The sizes of a valid depthwise convolution call: all that a kernel has to know.
#pragma once

#include <cstdint>
#include <numeric>

#include "cc/conv/attributes.h"

namespace tf_dwbp::conv {

// One spatial axis. Tap k of the filter links output position o to input position
// o * stride + k * dilation - pad_before, where that lies inside the input.
struct Axis {
  int64_t in = 0;
  int64_t out = 0;
  int64_t filter = 0;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad_before = 0;
  int64_t pad_after = 0;  // as the user asked for it; no kernel needs it

  // Stride and dilation without their common divisor. Positions of the output reduced_dilation()
  // apart, and taps reduced_stride() apart, meet the same positions of the input.
  constexpr int64_t reduced_stride() const { return stride / std::gcd(stride, dilation); }
  constexpr int64_t reduced_dilation() const { return dilation / std::gcd(stride, dilation); }
};

// Channel c of the input feeds channels c * multiplier ... c * multiplier + multiplier - 1 of
// the output. The filter is [height.filter, width.filter, channels, multiplier] in every layout.
struct Geometry {
  Layout layout = Layout::kNHWC;
  int64_t batch = 0;
  int64_t channels = 0;
  int64_t multiplier = 0;
  Axis height;
  Axis width;
  Padding padding = Padding::kSame;  // what the user asked for; kernels need pad_before alone

  constexpr int64_t out_channels() const { return channels * multiplier; }
  constexpr int64_t input_elements() const { return batch * channels * height.in * width.in; }
  constexpr int64_t filter_elements() const {
    return height.filter * width.filter * out_channels();
  }
  constexpr int64_t output_elements() const {
    return batch * out_channels() * height.out * width.out;
  }
};

}  // namespace tf_dwbp::conv
