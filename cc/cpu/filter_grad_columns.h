// Which columns of the input the filter gradient meets in those of out_backprop.
#pragma once

#include <cstdint>

#include "cc/conv/geometry.h"
#include "cc/cpu/filter_grad_axis.h"
#include "cc/cpu/kernels/jobs.h"

namespace tf_dwbp::cpu {

// Taps of one axis that follow each other, summed at the same time.
struct TapSet {
  int64_t first;
  int64_t count;
};

// Where the packed tile, or the tensor, that a kernel reads has its positions: from column to
// column, and which column comes first.
struct ColumnView {
  int64_t out_first;
  int64_t out_column_stride;
  int64_t source_first;
  int64_t source_column_stride;
};

// What a set of horizontal taps has to do with a block of columns.
struct ColumnTiles {
  int64_t out_column_stride;
  int64_t source_column_stride;
  const FilterGradTile* tiles;
  int64_t count;
};

// For these columns of out_backprop, in tiles of `wide` and of 1. Writes the tiles to `tiles`,
// which has room for one a column.
ColumnTiles make_column_tiles(const conv::Axis& axis, TapSet taps, Range columns, int64_t wide,
                              const ColumnView& view, FilterGradTile* tiles);

}  // namespace tf_dwbp::cpu
