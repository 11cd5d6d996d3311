// A call of the filter gradient: what its items share, and the parts of a worker's workspace.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cc/cpu/filter_grad_columns.h"
#include "cc/cpu/filter_grad_plan.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// A call, and what all of its items share.
template <typename T>
struct FilterGradCall {
  const conv::Geometry& geometry;
  const FilterGradPlan& plan;
  const T* input;
  const T* out_backprop;
  T* result;
  AccumulatorOf<T>* sums;  // of all parts
  TensorStrides in;
  TensorStrides out;
};

// Adds the sums of all parts, for some channel blocks, and writes their part of the result.
template <typename T>
void reduce_filter_parts(const FilterGradCall<T>& call, int64_t first_block,
                         int64_t channel_blocks) {
  const FilterGradPlan& plan = call.plan;
  const int64_t channels = call.geometry.out_channels();
  const int64_t first = first_block * plan.lanes;
  ReducePartsJob<T> job;
  job.sums = call.sums + first_block * plan.sum_block_stride;
  job.parts = plan.parts;
  job.sum_part_stride = plan.sums;
  job.channel_blocks = channel_blocks;
  job.sum_block_stride = plan.sum_block_stride;
  job.taps = call.geometry.height.filter * call.geometry.width.filter;
  job.result = call.result + first;
  job.channels = std::min(channels, plan.lanes);
  job.last_block = std::min((channel_blocks - 1) * plan.lanes, channels - job.channels - first);
  job.result_tap_stride = channels;
  kernels<T>().reduce_parts(job);
}

// An image's rows of the input that are packed: those from `first` on, at `slot`.
struct FilterGradSegment {
  int64_t first;
  int64_t slot;
};

// The parts of a worker's workspace.
template <typename T>
struct FilterGradScratch {
  using Acc = AccumulatorOf<T>;

  FilterGradScratch(const conv::Geometry& g, const FilterGradPlan& plan, WorkspaceLayout* layout)
      : image_sums(layout->add<Acc>(plan.few_channels ? plan.sums : 0)),
        packed_out(layout->add<Acc>(plan.packed_out)),
        packed_source(layout->add<Acc>(plan.packed_source)),
        tiles(layout->add<FilterGradTile>(plan.block_columns * sets(plan.horizontal))),
        columns(layout->add<ColumnTiles>(sets(plan.horizontal))),
        rows(layout->add<FilterGradRow>(plan.visit_rows * sets(plan.vertical))),
        row_counts(layout->add<int64_t>(sets(plan.vertical))),
        // A band may begin in the middle of an image.
        segments(layout->add<FilterGradSegment>((plan.band_rows - 1) / g.height.out + 2)) {}

  // Tapwise takes one set at a time.
  static int64_t sets(const std::vector<TapSet>& all) { return static_cast<int64_t>(all.size()); }

  Part<Acc> image_sums;
  Part<Acc> packed_out;
  Part<Acc> packed_source;
  Part<FilterGradTile> tiles;
  Part<ColumnTiles> columns;  // for each horizontal set
  Part<FilterGradRow> rows;   // for each vertical set
  Part<int64_t> row_counts;   // the same
  Part<FilterGradSegment> segments;
};

}  // namespace tf_dwbp::cpu
