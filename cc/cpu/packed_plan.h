// How the packed implementation cuts a call into pieces that fit the caches.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/packed_tiles.h"

namespace tf_dwbp::cpu {

// Work is cut into items: a block of rows x a block of columns of a chunk of channel blocks, for
// one image, or for a few where channels do not fill a vector. An item goes through its rows in
// bands: it packs the rows of the source that a band needs and does not have yet, and computes the
// band.
struct PackedPlan {
  PackedPlan(const conv::Gathering& gathering, const ChannelBlocks& blocks,
             int64_t accumulator_bytes, int64_t workers);

  int64_t image_blocks;
  int64_t row_blocks;
  int64_t chunks;
  std::vector<ColumnBlock> column_blocks;
  int64_t items() const {
    return image_blocks * row_blocks * static_cast<int64_t>(column_blocks.size()) * chunks;
  }

  // Whether packed tiles are too large to be held: then the source is packed and added row by row.
  bool row_wise;
  // Whether sums go to a write buffer first, since vectors are not adjacent in the result.
  bool buffered;
  int64_t band_rows;
  int64_t slots;  // rows of a packed tile

  // Elements of the accumulator's type.
  int64_t packed_row_stride;
  int64_t packed_multiplier_stride;
  int64_t packed_block_stride;
  int64_t packed;  // of a worker
  int64_t write_buffer_row_stride;
  int64_t write_buffer;  // of a worker
};

}  // namespace tf_dwbp::cpu
