// Tiles: runs of columns of the result that share their horizontal taps.
#pragma once

#include <vector>

#include "cc/conv/gather.h"
#include "cc/cpu/kernels.h"

namespace tf_dwbp::cpu {

// The tiles of a block of columns, and the columns of the source that they read.
struct Tiles {
  // Tiles of one width, of columns that are equal modulo the class step.
  struct Class {
    int width;  // columns of each tile
    int64_t first_tile;
    int64_t tiles;
  };
  std::vector<Class> classes;
  std::vector<SumTile> tiles;

  int64_t first = 0;         // column of the source ...
  int64_t columns = 0;       // ... and their number
  int64_t border_left = 0;   // columns of zeros that tiles read before the first ...
  int64_t border_right = 0;  // ... and after the last
  int64_t window_columns() const { return border_left + columns + border_right; }
};

// Splits the columns [begin, end) of the result. If `exact`, tiles are single columns, with the
// taps that reach them and no others: they read no border.
Tiles make_tiles(const conv::Gather& width, int64_t begin, int64_t end, bool exact);

}  // namespace tf_dwbp::cpu
