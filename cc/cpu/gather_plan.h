// How a call is cut into pieces that fit the caches.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/cpu/tiles.h"

namespace tf_dwbp::cpu {

// Work is cut into items: a block of rows x a block of columns of a chunk of groups of lanes (see
// kernels.h), for one image, or for a few where channels don't fill a vector. An item goes through
// its rows in bands: it loads the rows of the source that a band needs and does not have yet
// into its window, and sums the band.
struct GatherPlan {
  GatherPlan(const conv::Gathering& call, int64_t lanes, int64_t accumulator_bytes,
             int64_t workers);

  int64_t lanes;
  int64_t groups;  // that hold the channels of an image
  bool few;        // channels: they do not fill a vector
  int64_t images;  // whose channels share a group

  int64_t image_blocks;
  int64_t row_blocks;
  int64_t column_blocks;
  int64_t chunks;
  int64_t items() const { return image_blocks * row_blocks * column_blocks * chunks; }

  // Whether windows are too large to be held: then they are loaded and added row by row.
  bool streamed;
  // Whether sums go to a buffer first, since vectors are not adjacent in the result.
  bool staged;
  int64_t band_rows;
  int64_t slots;  // rows of a window

  // Elements of the accumulator's type, multiples of `lanes`.
  int64_t window_row;
  int64_t window_multiplier;
  int64_t window_group;
  int64_t window;
  int64_t stage_row;
  int64_t stage;
  int64_t filter_row;
  int64_t filter_multiplier;
  int64_t filter_group;
  int64_t filter;
  int64_t total;

  // The i-th of `blocks` even parts of `size` begins here, and ends where the next begins.
  static int64_t begin(int64_t size, int64_t blocks, int64_t i) { return size * i / blocks; }
};

}  // namespace tf_dwbp::cpu
