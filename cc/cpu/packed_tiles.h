// Tiles of the packed implementation: runs of columns of the result that share their horizontal
// taps.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/cpu/kernels/jobs.h"

namespace tf_dwbp::cpu {

// Columns of the source.
struct SourceColumns {
  int64_t first = 0;
  int64_t count = 0;
};

// Those that the columns [begin, end) of the result gather from, and those in between.
SourceColumns source_columns(const conv::Gather& width, int64_t begin, int64_t end);

// The columns [begin, end) of the result, split into tiles.
struct ColumnBlock {
  ColumnBlock(const conv::Gather& width, int64_t begin, int64_t end);

  // Tiles of one width, of columns of one phase.
  struct Phase {
    int width;  // columns of each tile
    int64_t first_tile;
    int64_t tiles;
  };

  int64_t first;
  int64_t count;  // of columns
  std::vector<Phase> phases;
  std::vector<ColumnTile> tiles;  // columns of the source are counted from the first of `source`
  std::vector<uint32_t> masks;
  SourceColumns source;
};

}  // namespace tf_dwbp::cpu
