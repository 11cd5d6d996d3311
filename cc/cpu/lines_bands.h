// The bands that the rows of a plane are taken in, and the steps of each, in the lines
// implementations: the same for all planes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/tensor_strides.h"

namespace tf_dwbp::cpu {

// Rows of the source that are copied to the ring, to slots from `slot` on; and the rows of the
// result that are computed together, with the steps that they take.
struct LineBand {
  int64_t pack_begin;
  int64_t pack_end;
  int64_t slot;
  int64_t first;
  int64_t rows;  // so many, a period apart
  int64_t step_end;
};

// The bands of a block of rows.
template <typename Step>
class LineBands {
 public:
  // `bands` and `steps` have room for LinesPlan::bands and steps of them.
  LineBands(const conv::Gathering& gathering, const LinesPlan& plan, LineBand* bands, Step* steps)
      : height_(gathering.height), plan_(plan), bands_(bands), steps_(steps) {}

  LineBand* begin() const { return bands_; }
  LineBand* end() const { return bands_ + band_count_; }
  Step* steps() const { return steps_; }
  // Rows of the source.
  int64_t source_begin() const { return source_begin_; }
  int64_t source_end() const { return source_end_; }

  // Lists the block's, if they are not listed already. `list_steps(first, rows, end, steps)` lists
  // what rows of the result take, of which the block's end at `end`, and returns where that ends.
  template <typename ListSteps>
  void list(int64_t row_block, const ListSteps& list_steps) {
    if (row_block == row_block_) return;
    row_block_ = row_block;
    band_count_ = 0;
    Step* step = steps_;
    const int64_t begin = conv::begin_of_part(height_.result(), plan_.row_blocks, row_block);
    const int64_t end = conv::begin_of_part(height_.result(), plan_.row_blocks, row_block + 1);
    int64_t packed_end = 0;
    for (int64_t y = begin; y < end; y += plan_.band_rows) {
      const int64_t band_end = std::min(y + plan_.band_rows, end);
      // Rows that are not there yet; with dilation, later bands may need some in between.
      LineBand band{};
      band.pack_begin = std::max(height_.lowest_source(y), packed_end);
      band.pack_end = packed_end;
      band.slot = band.pack_begin % plan_.slots;
      for (int64_t row = y; row < band_end; ++row) {
        const conv::TapRange taps = height_.at(row);
        if (taps.count > 0) band.pack_end = std::max(band.pack_end, taps.source + 1);
      }
      packed_end = band.pack_end;
      for (int64_t first = y; first < std::min(y + plan_.period, band_end); ++first) {
        band.first = first;
        band.rows = conv::ceil_div(band_end - first, plan_.period);
        step = list_steps(first, band.rows, end, step);
        band.step_end = step - steps_;
        bands_[band_count_++] = band;
        band.pack_begin = band.pack_end;  // once
      }
    }
    source_begin_ = height_.lowest_source(begin);
    source_end_ = packed_end;
  }

 private:
  const conv::Gather& height_;
  const LinesPlan& plan_;
  LineBand* const bands_;
  Step* const steps_;

  int64_t row_block_ = -1;  // which is listed
  int64_t band_count_ = 0;
  int64_t source_begin_ = 0;
  int64_t source_end_ = 0;
};

// A set of the vertical taps that a row gathers through.
inline conv::TapRange set_of_taps(const conv::Gather& height, const conv::TapRange& taps,
                                  int64_t sets, int64_t set) {
  const int64_t begin = conv::begin_of_part(taps.count, sets, set);
  const int64_t count = conv::begin_of_part(taps.count, sets, set + 1) - begin;
  return {taps.tap + begin * height.tap_step(), taps.source - begin * height.source_step(), count};
}

// What `rows` rows of the result gather through these vertical taps of the first one, from the m-th
// strands.
template <typename Acc>
LineGather<Acc> make_line_gather(const conv::Gathering& g, const LinesPlan& plan,
                                 const LinesPlan::Phase& phase, const conv::TapRange& taps,
                                 int64_t rows, int64_t m, bool in_place,
                                 const TensorStrides& from) {
  LineGather<Acc> gather{};
  const int64_t needed = taps.count == 0 ? 0 : (rows - 1) * g.height.shift() + taps.count;
  for (int64_t e = 0; e < needed; ++e) {
    // With fewer taps than the shift, some rows in between meet none.
    if (e % g.height.shift() >= taps.count) continue;
    const int64_t row = taps.source + (e - (taps.count - 1)) * g.height.source_step();
    if (row < 0 || row >= g.height.source()) continue;
    gather.present |= uint32_t{1} << e;
    gather.sources[e] =
        in_place ? row * from.row + m * from.channel
                 : row % plan.slots * plan.slot_stride + plan.margin + m * plan.multiplier_stride;
  }
  gather.taps = phase.taps.data();
  gather.tap_count = taps.count == 0 ? 0 : static_cast<int64_t>(phase.taps.size());
  gather.vectors = phase.vectors;
  gather.whole = phase.whole;
  gather.whole_end = phase.whole_end;
  gather.masks = phase.masks.data();
  gather.rows = rows;
  return gather;
}

}  // namespace tf_dwbp::cpu
