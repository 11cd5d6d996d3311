// Which elements of a source an element of a result gathers, and through which taps: the forward
// op and the input gradient, seen as one.
#pragma once

#include <cstdint>

#include "cc/conv/call.h"
#include "cc/conv/geometry.h"
#include "cc/conv/math.h"

namespace tf_dwbp::conv {

// `count` taps, the first at `tap` where it meets position `source`. From one to the next the tap
// grows by Gather::tap_step() and the source position falls by source_step().
struct TapRange {
  int64_t tap = 0;
  int64_t source = 0;
  int64_t count = 0;
};

// One spatial axis of a result and its source.
class Gather {
 public:
  // The result is the input's gradient, the source out_backprop. Input position i meets tap k at
  // output position o where o * stride + k * dilation = i + pad. Modulo the stride that is one
  // congruence for k, so that its solutions, inside the filter and inside the output, are an
  // arithmetic progression. Solved here once and for all, kernels need no test of divisibility,
  // for any stride and dilation.
  static Gather input_grad(const Axis& axis);
  // The result is the output, the source the input. Taps are counted from the filter's last, so
  // that here, too, source positions fall as taps grow.
  static Gather forward(const Axis& axis);

  constexpr TapRange at(int64_t position) const { return clip(without_borders(position)); }
  // The same if the source had no borders: positions may lie outside.
  constexpr TapRange without_borders(int64_t position) const;
  // What is left of that within the borders.
  constexpr TapRange clip(TapRange range) const;

  constexpr int64_t result() const { return result_; }  // size
  constexpr int64_t source() const { return source_; }  // size
  constexpr int64_t taps() const { return taps_; }      // of the filter

  constexpr int64_t tap_step() const { return tap_step_; }
  constexpr int64_t source_step() const { return source_step_; }

  // Positions of the result this far apart have the same phase: the same taps, up to borders ...
  constexpr int64_t phase_stride() const { return phase_stride_; }
  // ... at source positions this far apart.
  constexpr int64_t phase_shift() const { return phase_shift_; }

  // Multiples of the two above: positions a period apart gather from source positions that are
  // a multiple, shift(), of source_step() apart, and so share most of them.
  int64_t period() const { return period_; }
  int64_t shift() const { return shift_; }

  // Taps of a position at most, and on average.
  int64_t most_taps() const { return (taps_ - 1) / tap_step_ + 1; }
  double average_taps() const { return static_cast<double>(taps_) / phase_stride_; }

  // The lowest source position that positions of the result from this one on may need, the highest
  // that those up to this one may need, and the length of what `positions` consecutive ones need.
  constexpr int64_t lowest_source(int64_t position) const;
  constexpr int64_t highest_source(int64_t position) const;
  int64_t reach(int64_t positions) const;

 private:
  Gather(const Axis& axis, bool forward);

  bool forward_;
  int64_t result_;
  int64_t source_;
  int64_t taps_;
  int64_t stride_;
  int64_t dilation_;
  int64_t pad_before_;
  int64_t gcd_;          // of stride and dilation
  int64_t tap_step_;     // stride / gcd; forward: 1
  int64_t source_step_;  // dilation / gcd; forward: dilation
  int64_t inverse_;      // of dilation / gcd modulo stride / gcd
  int64_t phase_stride_;
  int64_t phase_shift_;
  int64_t period_;
  int64_t shift_;
};

// In the header, since kernels on other devices than the CPU are compiled from it.
constexpr TapRange Gather::without_borders(int64_t position) const {
  if (forward_) {
    return {0, position * stride_ + (taps_ - 1) * dilation_ - pad_before_, taps_};
  }
  const int64_t padded = position + pad_before_;
  if (stride_ == 1) return {0, padded, taps_};
  if (padded % gcd_ != 0) return {};
  const int64_t tap = padded / gcd_ % tap_step_ * inverse_ % tap_step_;
  if (tap >= taps_) return {};
  // The stride divides this without a remainder, whatever its sign.
  return {tap, (padded - tap * dilation_) / stride_, (taps_ - 1 - tap) / tap_step_ + 1};
}

constexpr TapRange Gather::clip(TapRange range) const {
  if (range.source >= source_) {
    const int64_t skipped = (range.source - source_) / source_step_ + 1;
    range.tap += skipped * tap_step_;
    range.source -= skipped * source_step_;
    range.count -= skipped;
  }
  if (range.source < 0 || range.count <= 0) return {};
  const int64_t within = range.source / source_step_ + 1;
  if (within < range.count) range.count = within;
  return range;
}

constexpr int64_t Gather::lowest_source(int64_t position) const {
  if (forward_) {
    const int64_t first = position * stride_ - pad_before_;
    return first < 0 ? 0 : first;
  }
  const int64_t padded = position + pad_before_;
  if (taps_ - 1 > padded / dilation_) return 0;
  return ceil_div(padded - (taps_ - 1) * dilation_, stride_);
}

constexpr int64_t Gather::highest_source(int64_t position) const {
  const int64_t last = forward_ ? position * stride_ + (taps_ - 1) * dilation_ - pad_before_
                                : (position + pad_before_) / stride_;
  return last < source_ ? last : source_ - 1;
}

// A whole call of the two ops.
struct Gathering {
  static Gathering input_grad(const Geometry& geometry);
  static Gathering forward(const Geometry& geometry);
  // Of the input gradient, or else the forward op.
  static Gathering of(Op op, const Geometry& geometry) {
    return op == Op::kInputGrad ? input_grad(geometry) : forward(geometry);
  }

  Layout layout;
  int64_t batch;
  int64_t channels;    // of the result
  int64_t multiplier;  // channels of the source that each of the result's gathers from, or ...
  int64_t repeat;      // ... channels of the result that gather from each of the source's
  bool reversed;       // taps are counted from the filter's last
  Gather height;
  Gather width;

  // Products of an element of the result on average, borders aside.
  double average_products() const {
    return height.average_taps() * width.average_taps() * static_cast<double>(multiplier);
  }

  constexpr int64_t source_channels() const { return channels / repeat * multiplier; }
  constexpr int64_t result_elements() const {
    return batch * channels * height.result() * width.result();
  }
  constexpr int64_t source_elements() const {
    return batch * source_channels() * height.source() * width.source();
  }
};

}  // namespace tf_dwbp::conv
