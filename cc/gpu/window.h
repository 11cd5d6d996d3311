// A call seen as windows of a source that slide over a result (see configurations.h), where the
// two axes have few taps and simple steps; and how tiles of it are cut.
#pragma once

#include <cstdint>
#include <optional>

#include "cc/conv/call.h"
#include "cc/conv/geometry.h"
#include "cc/gpu/configurations.h"

namespace tf_dwbp::gpu {

// One axis. A dilated convolution of stride 1 is `step` dense ones, each of positions that lie a
// step apart: class r has result positions result_origin + r + step * j and source positions
// source_origin + r + step * s. Those outside [0, result) and [0, source) do not exist.
struct WindowAxis {
  int64_t result = 0;
  int64_t source = 0;
  int64_t result_origin = 0;
  int64_t source_origin = 0;
  int64_t step = 1;

  // Values of j, in class 0, which has the most.
  constexpr int64_t positions() const { return (result - result_origin + step - 1) / step; }
  // Those that have any.
  constexpr int64_t classes() const { return step < result ? step : result; }
};

struct Windows {
  Configuration configuration;
  WindowAxis height;
  WindowAxis width;
};

// Nothing where no configuration could fit, listed or not.
std::optional<Windows> windows_of(conv::Op op, const conv::Geometry& geometry);

// Index of the configuration in the list, or -1.
template <int n>
int index_of(const Configuration& wanted, const Configuration (&list)[n]) {
  for (int i = 0; i < n; ++i) {
    if (same(wanted, list[i])) return i;
  }
  return -1;
}

}  // namespace tf_dwbp::gpu
