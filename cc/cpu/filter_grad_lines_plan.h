// How the filter gradient by lines is cut into pieces.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/conv/math.h"
#include "cc/cpu/lines_plan.h"

namespace tf_dwbp::cpu {

// Lines are those of the forward op, of which out_backprop is the result. The sums of a tap have a
// lane for each element of a *period*: 64 bytes or more, whole pixels. Lanes are added up, with
// compensation, before a sum in one has more than kVisitTerms terms. What a sum is, and in which
// order, depends on the call's sizes alone: not on the instruction set, not on the number of
// threads.
struct FilterGradLinesPlan {
  // `lanes`: of a vector.
  FilterGradLinesPlan(const conv::Gathering& gathering, int64_t lanes, int64_t accumulator_bytes,
                      int64_t workers);

  LinesPlan lines;
  int64_t groups;         // of channels, each with sums of its own: all in NHWC, each one in NCHW
  int64_t group;          // channels of one
  int64_t period;         // elements
  int64_t column_blocks;  // of a line, each so short that no lane gets too many terms of a band

  // Items are parts of the images' rows, with sums of their own, x chunks of the groups.
  int64_t image_parts;
  int64_t parts() const { return image_parts * lines.row_blocks; }
  int64_t chunks;
  int64_t items() const { return parts() * chunks; }
  int64_t most_groups;  // of a chunk

  // Elements of the accumulator's type.
  int64_t sum_row_stride;    // from a vertical tap to the next
  int64_t sum_group_stride;  // from a group to the next
  int64_t part_stride;       // of sums of the whole filter, with what rounding took
  int64_t out_stride;        // of rows of out_backprop that are copied
  int64_t filter_elements;

  // Periods of a line that a block has.
  int64_t first_period(int64_t column_block) const {
    return conv::begin_of_part(periods_, column_blocks, column_block);
  }

 private:
  int64_t periods_;  // of a line
};

}  // namespace tf_dwbp::cpu
