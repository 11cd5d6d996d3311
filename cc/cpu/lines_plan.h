// How the lines implementation cuts a call into pieces, and where its lines' elements come from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/conv/math.h"
#include "cc/cpu/kernels/line_jobs.h"

namespace tf_dwbp::cpu {

// A line is a row of the result, as it lies in memory: of all channels in NHWC, of one in NCHW. It
// is computed in *phases*: columns that gather through the same horizontal taps. The source's rows
// are copied into a ring of slots, split into strands, which makes adjacent what a phase needs:
// strand m * shift + q has the columns q, q + shift, ... of the channels that the result's meet
// through index m of the multiplier.
struct LinesPlan {
  // `lanes`: of a vector. How rows are cut does not depend on them. `items`: about so many.
  LinesPlan(const conv::Gathering& gathering, int64_t lanes, int64_t accumulator_bytes,
            int64_t items);

  // Columns as many apart as there are phases.
  struct Phase {
    int64_t elements;
    int64_t vectors;
    int64_t whole;  // as in LineGather
    int64_t whole_end;
    std::vector<LineTap> taps;
    std::vector<uint16_t> masks;
  };
  std::vector<Phase> phases;

  bool plane;              // NCHW
  int64_t channels;        // of a line of the result
  int64_t filter_vectors;  // after so many, the channels begin at the same lane again

  // Work is cut into items: some planes (an image, or a channel of one in NCHW), or a block of rows
  // of one. An item goes through its rows in bands.
  int64_t planes;
  int64_t plane_blocks;
  int64_t row_blocks;
  int64_t band_rows;
  int64_t period;  // rows that are computed together are so far apart
  int64_t items() const { return plane_blocks * row_blocks; }

  // How lines are split into strands, and put together from phases; empty: there is one, which is
  // the line.
  std::vector<std::vector<SpreadVector>> split;  // for each m and q, without planes' m
  int64_t split_advance;
  std::vector<SpreadVector> join;
  int64_t join_advance;

  // Whether kernels may read the source itself, where it has the accumulator's type: strands are
  // lines.
  bool in_place;

  // Elements of the accumulator's type.
  int64_t before;  // what kernels read before a strand's column 0 ...
  int64_t after;   // ... and from it on, at most
  int64_t margin;  // of a strand, before its column 0
  int64_t strand_stride;
  int64_t multiplier_stride;
  int64_t slot_stride;
  int64_t slots;
  int64_t ring;
  int64_t sum_phase_stride;  // of sums that are not finished, or not joined
  int64_t sum_row_stride;
  int64_t sums;

  // LineBands and LineSteps of a block of rows at most.
  int64_t bands;
  int64_t steps;

  // Vertical taps are taken in so many sets.
  int64_t sets_of(int64_t taps) const {
    return std::max<int64_t>(1, conv::ceil_div(taps, most_taps_));
  }

  // Elements of a strand that are the source's.
  int64_t strand_elements(int64_t q) const {
    return (source_columns_ - q + shift_ - 1) / shift_ * channels;
  }

 private:
  void cut(const conv::Gathering& gathering, int64_t accumulator_bytes, int64_t items);

  int64_t source_columns_;
  int64_t shift_;
  int64_t most_taps_;  // of a set
};

}  // namespace tf_dwbp::cpu
