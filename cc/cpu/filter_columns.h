// Which columns of the input the filter's gradient meets in those of out_backprop.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/geometry.h"
#include "cc/cpu/filter_plan.h"
#include "cc/cpu/kernels.h"

namespace tf_dwbp::cpu {

// Where the window, or the tensor, that a kernel reads has its positions: from column to column,
// and which column comes first.
struct ColumnView {
  int64_t out_first;
  int64_t out_column;
  int64_t source_first;
  int64_t source_column;
};

// What a set of horizontal taps has to do with a block of columns.
struct ColumnPlan {
  int64_t out_column;
  int64_t source_column;
  std::vector<FilterTile> tiles;
};

// For the columns [begin, end) of out_backprop, in tiles of `wide` and of 1.
ColumnPlan plan_columns(const conv::Axis& axis, TapSet taps, int64_t begin, int64_t end,
                        int64_t wide, const ColumnView& view);

}  // namespace tf_dwbp::cpu
