// A call seen as windows of a source that slide over a result (see configurations.h), where the
// two axes have few taps and simple steps.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "cc/conv/math.h"
#include "cc/conv/problem.h"
#include "cc/gpu/configurations.h"
#include "cc/gpu/device/properties.h"

namespace tf_dwbp::gpu {

// One axis. A dilated convolution of stride 1 falls into as many *phases* as its dilation, each
// dense, of positions that lie a phase_stride apart: phase p has result positions
// result_origin + p + phase_stride * j and source positions source_origin + p + phase_stride * s.
// Those outside [0, result) and [0, source) do not exist.
struct WindowAxis {
  int result = 0;
  int source = 0;
  int result_origin = 0;
  int source_origin = 0;
  int phase_stride = 1;

  // Values of j, in phase 0, which has the most.
  constexpr int positions() const {
    return static_cast<int>(conv::ceil_div(result - result_origin, phase_stride));
  }
  // Phases that have any.
  constexpr int phases() const { return phase_stride < result ? phase_stride : result; }
};

// Positions are 32-bit numbers: what is longer, or padded by more, has no windows; nor has what is
// dilated by more. A tile meets no more positions along an axis than shared memory holds, or so
// many results for each; the last of them may lie as far beyond the tensor.
inline constexpr int kMostPositions = 1 << 28;
inline constexpr int kMostPhases = 1 << 13;
static_assert(int64_t{4} * kMostPositions + 2 * int64_t{kMostPhases} * kMostSharedBytes <
              std::numeric_limits<int>::max());

// Why so many `what` are too many; empty if they are not.
std::string beyond_most(int64_t value, int64_t most, const std::string& what);

struct Windows {
  Configuration configuration;
  WindowAxis height;
  WindowAxis width;
};

// Why no configuration, listed or not, fits the problem; or empty, and the windows.
std::string find_windows(const conv::Problem& problem, Windows* windows);

// The windows of a problem that has some.
Windows windows_of(const conv::Problem& problem);

// Index of a configuration in the op's list, or -1.
int index_for(conv::Op op, const Configuration& configuration);

// NCHW: which lead (see reads_vectors()) windows along the axis have.
constexpr int lead_of(const Configuration& c, const WindowAxis& axis) {
  return least_lead(c) + ((axis.source_origin + least_lead(c)) & (c.result_step - 1));
}

// NCHW: moves the first window back, by less than `vector` source positions, a power of two, so
// that its first vector is one in memory. Results before the first do not exist.
void align(const Configuration& configuration, int vector, WindowAxis* axis);

// Index of the configuration in the list, or -1.
template <int n>
int index_of(const Configuration& wanted, const Configuration (&list)[n]) {
  for (int i = 0; i < n; ++i) {
    if (same(wanted, list[i])) return i;
  }
  return -1;
}

}  // namespace tf_dwbp::gpu
