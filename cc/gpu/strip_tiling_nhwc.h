// How a call in NHWC is cut for the kernel for strips: see kernels/gather_strips_nhwc.cuh.
#pragma once

#include <cstdint>
#include <string>

#include "cc/conv/dtype.h"
#include "cc/conv/geometry.h"
#include "cc/gpu/device/properties.h"
#include "cc/gpu/tuning.h"
#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {

// Rows of the source that are staged together: those of so many steps that a thread's sums are
// where they were.
constexpr int chunk_rows(const Configuration& c) { return c.result_step * strip_period(c); }

// A block has a warp's channels, and a warp for each group of neighbouring columns. It goes down a
// band of an image's rows, chunk by chunk, then takes the next image.
struct StripCutNhwc {
  int groups = 1;          // of columns, in a block
  int source_columns = 0;  // that these meet
  int rows = 0;            // of the result, in a band
  int64_t images = 1;
  int64_t channel_blocks = 1;
  int64_t tiles = 1;  // of groups, across
  int64_t bands = 1;
  int64_t slices = 1;  // of images
  int chunk_elements = 0;
  int shared_bytes = 0;

  constexpr int64_t blocks() const { return channel_blocks * tiles * bands * slices; }
};

// Why no cut fits the windows; empty if one does.
std::string strips_decline_nhwc(const conv::Geometry& geometry, const Windows& windows,
                                Dtype dtype);

StripCutNhwc cut_gather_nhwc(const conv::Geometry& geometry, const Windows& windows,
                             const Device& device, Dtype dtype);

}  // namespace tf_dwbp::gpu
