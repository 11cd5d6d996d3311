// Tiles: runs of columns of the result that share their horizontal taps.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/cpu/kernels.h"

namespace tf_dwbp::cpu {

// Columns of the source.
struct SourceColumns {
  int64_t first = 0;
  int64_t count = 0;
};

// Those that the columns [begin, end) of the result gather from, and those in between.
SourceColumns source_columns(const conv::Gather& width, int64_t begin, int64_t end);

// The tiles of a block of columns.
struct Tiles {
  // Tiles of one width, of columns that are equal modulo the class step.
  struct Class {
    int width;  // columns of each tile
    int64_t first_tile;
    int64_t tiles;
  };
  std::vector<Class> classes;
  std::vector<SumTile> tiles;  // columns of the source are counted from the first of `source`
  std::vector<uint32_t> masks;
  SourceColumns source;
};

// Splits the columns [begin, end) of the result.
Tiles make_tiles(const conv::Gather& width, int64_t begin, int64_t end);

}  // namespace tf_dwbp::cpu
