// How the kernels for strips go down a column: by steps of the source's rows, with the sums of
// those rows of the result that such a step adds to, the oldest first.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

template <int index>
struct Descent {
  static constexpr Configuration config = kGatherConfigurations[index];
  static constexpr int taps = config.taps, rs = config.result_step, ss = config.source_step;
  // Columns of the source that a result meets at most.
  static constexpr int kColumns = (taps - 1) / ss + 1;
  // Rows of the result that a step adds to, and that it finishes.
  static constexpr int kSums = strip_sums(config);
  static constexpr int kFinished = ss;
  // Steps after which sums are where they were.
  static constexpr int kPeriod = strip_period(config);

  // The tap that joins row q of a step with a sum; may be none of the filter's.
  static constexpr int tap(int sum, int q) {
    return ss == 1 ? taps - 1 - rs * (kSums - 1 - sum) - q : sum;
  }
  // The oldest row that a step adds to, counted as the windows count.
  __device__ static int oldest(int step) {
    return ss == 1 ? step - (kSums - 1) : ss * step - taps + 1;
  }
  // The steps that add to rows [first, end).
  __device__ static int first_step(int first) { return (first + ss - 1) / ss; }
  __device__ static int end_step(int end) {
    return ss == 1 ? end + kSums - 1 : (end + taps - 2) / ss + 1;
  }
  // The first whose oldest row is `first` or later, and the end of those whose finished rows come
  // before `end`.
  __device__ static int first_full(int first) {
    return ss == 1 ? first + kSums - 1 : (first + taps) / ss;
  }
  __device__ static int end_full(int end) {
    return ss == 1 ? end + kSums - 1 : (end + taps - 1) / ss;
  }
};

}  // namespace tf_dwbp::gpu
