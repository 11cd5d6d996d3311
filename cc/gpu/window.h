// A call seen as windows of a source that slide over a result (see configurations.h), where the
// two axes have few taps and simple steps.
#pragma once

#include <cstdint>
#include <string>

#include "cc/conv/math.h"
#include "cc/conv/problem.h"
#include "cc/gpu/configurations.h"

namespace tf_dwbp::gpu {

// One axis. A dilated convolution of stride 1 falls into as many *phases* as its dilation, each
// dense, of positions that lie a phase_stride apart: phase p has result positions
// result_origin + p + phase_stride * j and source positions source_origin + p + phase_stride * s.
// Those outside [0, result) and [0, source) do not exist.
struct WindowAxis {
  int64_t result = 0;
  int64_t source = 0;
  int64_t result_origin = 0;
  int64_t source_origin = 0;
  int64_t phase_stride = 1;

  // Values of j, in phase 0, which has the most.
  constexpr int64_t positions() const {
    return conv::ceil_div(result - result_origin, phase_stride);
  }
  // Phases that have any.
  constexpr int64_t phases() const { return phase_stride < result ? phase_stride : result; }
};

struct Windows {
  Configuration configuration;
  WindowAxis height;
  WindowAxis width;
};

// Why no configuration, listed or not, fits the problem; or empty, and the windows.
std::string find_windows(const conv::Problem& problem, Windows* windows);

// Index of the configuration in the list, or -1.
template <int n>
int index_of(const Configuration& wanted, const Configuration (&list)[n]) {
  for (int i = 0; i < n; ++i) {
    if (same(wanted, list[i])) return i;
  }
  return -1;
}

}  // namespace tf_dwbp::gpu
