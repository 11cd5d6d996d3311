// How the filter gradient is cut into pieces that fit the caches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cc/conv/geometry.h"
#include "cc/cpu/filter_axis.h"
#include "cc/cpu/kernels.h"

namespace tf_dwbp::cpu {

// Taps of one axis that follow each other, summed at the same time.
struct TapSet {
  int64_t first;
  int64_t count;
};

// The rows of out_backprop, of all images, are taken a few at a time. Such a *visit* has at most
// kVisitTerms positions: so long a sum is kept without compensation. Visits are cut into parts,
// which may be different threads', like chunks of channels. What a sum is, and in which order,
// depends on the call's sizes alone: not on the instruction set, not on the number of threads.
struct FilterPlan {
  static constexpr int64_t kVisitTerms = 256;

  // How the kernels get at the operands: straight, or by windows (see kernels.h) of what a few
  // visits need, or, if these were too large, of what one tap needs.
  enum class Mode { kDirect, kWindows, kTapwise };

  FilterPlan(const conv::Geometry& geometry, const KernelTable& kernels, int64_t element_bytes,
             int64_t accumulator_bytes, int64_t workers);

  Mode mode;
  bool asks;  // for what comes next, ahead of time
  int64_t lanes;
  int64_t groups;  // that hold out_backprop's channels of an image
  // If channels fill no 64 bytes, sums are made image by image, and those of `images` share
  // vectors.
  bool few;
  int64_t images;

  int64_t column_blocks;
  int64_t block_columns;
  int64_t rows;  // of out_backprop that are counted through: of all images, or if `few` of one
  int64_t visit_rows;
  int64_t band_rows;  // that are loaded into windows at a time, a multiple of visit_rows

  std::vector<TapSet> vertical;
  std::vector<TapSet> horizontal;

  int64_t parts;
  int64_t chunks;
  int64_t items() const { return parts * chunks; }

  // What a part takes: rows, or if `few` images.
  Range part(int64_t i) const;

  // Calls `f(begin, end)` for each band of `band` rows in the rows [begin, end).
  template <typename Function>
  static void for_bands(Range rows, int64_t band, const Function& f) {
    for (int64_t y = rows.begin; y < rows.end; y += band) f(y, std::min(y + band, rows.end));
  }

  // Elements of the accumulator's type.
  int64_t out_row;  // of windows on out_backprop
  int64_t out_group;
  int64_t source_row;  // of windows on the input
  int64_t source_group;
  int64_t sum_row;  // of the sums of one part, or of one worker's images
  int64_t sum_group;
  int64_t sums;
  int64_t worker;  // all that a worker needs for itself
  int64_t total;

  // The i-th of `blocks` even parts of `size` begins here, and ends where the next begins.
  static int64_t begin(int64_t size, int64_t blocks, int64_t i) { return size * i / blocks; }

 private:
  // What windows on the input have to hold: the most columns of any block, and the most rows of any
  // band of so many rows.
  int64_t most_source_columns(const conv::Axis& width) const;
  int64_t most_source_rows(const conv::Axis& height, int64_t band) const;

  int64_t batch_;
};

}  // namespace tf_dwbp::cpu
