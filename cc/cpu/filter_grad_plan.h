// How the filter gradient is cut into pieces that fit the caches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cc/conv/geometry.h"
#include "cc/conv/math.h"
#include "cc/cpu/filter_grad_axis.h"
#include "cc/cpu/filter_grad_columns.h"
#include "cc/cpu/kernels/kernels.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

// Parts of the work, each with sums of the whole filter (and what rounding took): as many as wanted
// if they are few enough.
inline int64_t parts_of(int64_t wanted, int64_t filter_elements, int64_t accumulator_bytes) {
  return std::clamp<int64_t>(kPartsBytes / (2 * accumulator_bytes) / filter_elements, 1,
                             std::clamp<int64_t>(wanted, 1, kMostParts));
}

// The rows of out_backprop, of all images, are taken a few at a time. Such a *visit* has at most
// kVisitTerms positions: so long a sum is kept without compensation. Visits are cut into parts,
// which may be different threads', as chunks of channels are. What a sum is, and in which order,
// depends on the call's sizes alone: not on the instruction set, not on the number of threads.
struct FilterGradPlan {
  // How the kernels get at the operands: straight, or by packed tiles (see kernels/jobs.h) of what
  // a few visits need, or of what one tap needs.
  enum class Mode { kDirect, kPacked, kTapwise };

  FilterGradPlan(Mode mode, const conv::Geometry& geometry, const Dispatch& kernels,
                 int64_t element_bytes, int64_t accumulator_bytes, int64_t workers);

  // Whether channels are so few that those of several images share vectors.
  static bool few(const conv::Geometry& geometry, int64_t accumulator_bytes);

  Mode mode;
  bool prefetches = false;  // what comes next
  int64_t lanes;
  int64_t channel_blocks;  // that hold out_backprop's channels of an image
  // If channels fill no 64 bytes, sums are made image by image, and those of `images` share
  // vectors.
  bool few_channels;
  int64_t images;

  int64_t column_blocks;
  int64_t block_columns;  // at most
  int64_t rows;  // of out_backprop that are counted through: of all images, or if `few` of one
  int64_t visit_rows;
  int64_t band_rows = 1;  // that are packed at a time, a multiple of visit_rows

  std::vector<TapSet> vertical;
  std::vector<TapSet> horizontal;

  int64_t parts;
  int64_t chunks = 1;
  int64_t items() const { return parts * chunks; }

  // What a part takes: rows, or if `few` images.
  Range part(int64_t i) const;

  // Calls `f(begin, end)` for each band of `band` rows in the rows [begin, end).
  template <typename Function>
  static void for_bands(Range rows, int64_t band, const Function& f) {
    for (int64_t y = rows.begin; y < rows.end; y += band) f(y, std::min(y + band, rows.end));
  }

  Range columns(int64_t block, const conv::Axis& width) const {
    return {conv::begin_of_part(width.out, column_blocks, block),
            conv::begin_of_part(width.out, column_blocks, block + 1)};
  }

  // Whether packed tiles are small enough to be held; if they are not, kPacked is no plan. Decided
  // for the widest vectors, since the instruction set must not decide on the order of sums.
  bool fits = true;

  // Elements of the accumulator's type.
  int64_t out_row_stride = 0;  // of packed tiles of out_backprop
  int64_t out_block_stride = 0;
  int64_t source_row_stride = 0;  // of packed tiles of the input
  int64_t source_block_stride = 0;
  int64_t sum_row_stride = 0;  // of the sums of one part, or of one worker's images
  int64_t sum_block_stride = 0;
  int64_t sums = 0;
  int64_t packed_out = 0;     // of a worker
  int64_t packed_source = 0;  // of a worker

 private:
  // What packed tiles of the input have to hold: the most columns of any block, and the most rows
  // of any band of so many rows.
  int64_t most_source_columns(const conv::Axis& width) const;
  int64_t most_source_rows(const conv::Axis& height, int64_t band) const;

  int64_t batch_;
};

}  // namespace tf_dwbp::cpu
