// How the filter gradient by lines is cut into pieces.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/conv/math.h"
#include "cc/cpu/lines_plan.h"

namespace tf_dwbp::cpu {

// Lines are those of the forward op, of which out_backprop is the result. The sums of a tap have as
// many lanes as whole pixels take to fill the widest vectors. Lanes are added up, with
// compensation, before one has more than kVisitTerms terms. What a sum is, and in which order,
// depends on the call's sizes alone: not on the instruction set, not on the number of threads.
struct FilterGradLinesPlan {
  // `lanes`: of a vector.
  FilterGradLinesPlan(const conv::Gathering& gathering, int64_t lanes, int64_t accumulator_bytes,
                      int64_t workers);

  // Bytes of a group's sums, or the largest number there is.
  static int64_t sum_bytes(const conv::Gathering& gathering, int64_t accumulator_bytes);

  LinesPlan lines;
  int64_t groups;         // of channels, each with sums of its own: all in NHWC, each one in NCHW
  int64_t group;          // channels of one
  int64_t sum_lanes;      // of a tap of a group
  int64_t column_blocks;  // of a line, each so short that no lane gets too many terms of a band

  // Items are parts of the images x some of their blocks of rows, with sums of their own, x chunks
  // of the groups.
  int64_t image_parts;
  int64_t row_parts;
  int64_t parts() const { return image_parts * row_parts; }
  int64_t chunks;
  int64_t items() const { return parts() * chunks; }
  int64_t most_groups;  // of a chunk

  // Elements of the accumulator's type.
  int64_t sum_row_stride;    // from a vertical tap to the next
  int64_t sum_group_stride;  // from a group to the next
  int64_t part_stride;       // of sums of the whole filter, with what rounding took
  int64_t out_stride;        // of rows of out_backprop that are copied, ...
  int64_t out;               // ... a band's
  int64_t filter_elements;

  // A line has so many times the sums' lanes before a block of its columns.
  int64_t first_of(int64_t column_block) const {
    return conv::begin_of_part(line_sums_, column_blocks, column_block);
  }

 private:
  FilterGradLinesPlan(const conv::Gathering& gathering, int64_t lanes, int64_t accumulator_bytes,
                      int64_t workers, int64_t wanted_parts);

  int64_t line_sums_;
};

}  // namespace tf_dwbp::cpu
