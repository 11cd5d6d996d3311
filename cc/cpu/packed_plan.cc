#include "cc/cpu/packed_plan.h"

#include <algorithm>

#include "cc/conv/math.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

using conv::begin_of_part;
using conv::ceil_div;
using conv::Gathering;

PackedPlan::PackedPlan(const Gathering& g, const ChannelBlocks& channels, int64_t accumulator_bytes,
                       int64_t workers) {
  const int64_t vector_bytes = channels.lanes * accumulator_bytes;
  image_blocks = ceil_div(g.batch, channels.images);
  const int64_t shift = std::min(g.width.phase_shift(), kBlockColumns);
  const int64_t blocks = ceil_div(g.width.result(), kBlockColumns / shift);
  const int64_t block_columns = ceil_div(g.width.result(), blocks);
  int64_t columns = 1;  // of the packed tile that serves every block
  for (int64_t i = 0; i < blocks; ++i) {
    column_blocks.emplace_back(g.width, begin_of_part(g.width.result(), blocks, i),
                               begin_of_part(g.width.result(), blocks, i + 1));
    columns = std::max(columns, column_blocks.back().source.count);
  }

  const int64_t row_bytes = columns * vector_bytes;
  const double least = static_cast<double>(row_bytes) * g.multiplier * g.height.reach(1);
  row_wise = least > kMostPackedBytes;
  buffered = row_wise || channels.few || g.layout == conv::Layout::kNCHW;
  const int64_t multiplier = row_wise ? 1 : g.multiplier;

  // Rows are cut last: each cut packs rows twice.
  const int64_t wanted = items_wanted(workers);
  row_blocks = std::clamp<int64_t>(wanted / (image_blocks * blocks), 1,
                                   std::max<int64_t>(1, g.height.result() / kLeastBlockRows));
  const int64_t block_rows = ceil_div(g.height.result(), row_blocks);

  band_rows = 1;
  while (!row_wise && band_rows < block_rows &&
         row_bytes * multiplier * g.height.reach(band_rows + 1) <= kBandBytes &&
         (!buffered || (band_rows + 1) * block_columns * vector_bytes <= kWriteBufferBytes)) {
    ++band_rows;
  }
  slots = row_wise ? 1 : g.height.reach(band_rows);

  packed_row_stride = columns * channels.lanes;
  packed_multiplier_stride = packed_row_stride * slots;
  // 4K aliasing: not a multiple of 4 KB, or else the blocks' vectors of a pixel would share few
  // sets of L1.
  packed_block_stride = packed_multiplier_stride * multiplier + channels.lanes;
  int64_t chunk = 1;
  if (!buffered) {
    chunk = std::clamp<int64_t>(kPackedBytes / (packed_block_stride * accumulator_bytes), 1,
                                channels.count);
  }
  chunks = ceil_div(channels.count, chunk);
  if (!buffered) {
    // Where rows alone make too few items.
    chunks = std::max(chunks, std::min(channels.count / kLeastChannelBlocks,
                                       wanted / (image_blocks * blocks * row_blocks)));
    // The last block may overlap the one before: one thread has to write both.
    if (g.channels % channels.lanes != 0) {
      chunks = std::min(chunks, std::max<int64_t>(1, channels.count / 2));
    }
  }
  packed = packed_block_stride * ceil_div(channels.count, chunks);
  write_buffer_row_stride = block_columns * channels.lanes;
  // One more vector, since the lanes that the last block shares with the one before are skipped.
  write_buffer = buffered ? write_buffer_row_stride * band_rows + channels.lanes : 0;
}

}  // namespace tf_dwbp::cpu
