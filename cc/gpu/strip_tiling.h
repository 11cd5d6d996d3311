// How a call is cut for the kernels for strips: see kernels/strips.cuh.
#pragma once

#include <cstdint>
#include <string>

#include "cc/conv/dtype.h"
#include "cc/conv/geometry.h"
#include "cc/gpu/device/properties.h"
#include "cc/gpu/tiling.h"
#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {

// How what a block has of one tensor lies in its shared memory: a line for each plane, which is
// contiguous in the tensor, too. In elements.
struct StripLines {
  int stride = 0;    // from a line to the next
  int elements = 0;  // of all, with what may be read beside them
};

// A block has so many planes of an image, neighbouring channels, or a band of each, and a thread
// for each of their result's columns. It takes images one after the other.
struct StripCut {
  int planes = 1;
  int rows = 0;  // of the result, in a band
  int64_t bands = 1;
  StripLines source;
  StripLines result;
  int threads = 0;
  int64_t images = 1;
  int64_t groups = 1;  // of planes
  int64_t slices = 1;  // of images
  int shared_bytes = 0;

  constexpr int64_t blocks() const { return groups * bands * slices; }
};

// Rows of the source that result rows [first, end) meet, whether they exist or not.
struct Rows {
  int first;
  int end;

  constexpr bool have(int row) const { return first <= row && row < end; }
};
constexpr Rows rows_met(const Configuration& c, const WindowAxis& height, int first, int end) {
  const int from = c.result_step * (first - height.result_origin);
  const int last = c.result_step * (end - 1 - height.result_origin);
  return {height.source_origin + (from + c.source_step - 1) / c.source_step,
          height.source_origin + (last + c.taps - 1) / c.source_step + 1};
}
// Those of them that exist.
constexpr Rows rows_staged(const Configuration& c, const WindowAxis& height, int first, int end) {
  const auto clamp = [&](int row) {
    return row < 0 ? 0 : row < height.source ? row : height.source;
  };
  const Rows met = rows_met(c, height, first, end);
  return {clamp(met.first), clamp(met.end)};
}

// Why no cut fits the windows; empty if one does.
std::string strips_decline(const conv::Geometry& geometry, const Windows& windows, Dtype dtype,
                           bool filter_grad);

// For forward and input gradient.
StripCut cut_gather(const conv::Geometry& geometry, const Windows& windows, const Device& device,
                    Dtype dtype);
// For the filter gradient: depends on no device, since it decides on the order of sums. Each
// band of each slice is a part.
StripCut cut_filter_grad(const conv::Geometry& geometry, const Windows& windows, Dtype dtype);

}  // namespace tf_dwbp::gpu
