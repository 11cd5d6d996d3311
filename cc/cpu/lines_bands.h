// The steps that the rows of a plane take, in the lines implementation: the same for all planes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

// The packed filter: of lines with several channels [m][vertical tap][horizontal tap][vector of
// LinesPlan::filter_vectors][lane]; of planes as PackedFilter, of which a tap is one lane.
template <typename Acc>
struct LinesFilter {
  const Acc* taps;
  int64_t multiplier_stride;
  int64_t row_stride;
  int64_t column_stride;
  int64_t block_stride;  // of planes
};

// A call, and what all of its items share.
template <typename T>
struct LinesCall {
  using Acc = AccumulatorOf<T>;

  const conv::Gathering& gathering;
  const LinesPlan& plan;
  const ChannelBlocks& blocks;  // of planes' filters
  const T* source;
  T* result;
  LinesFilter<Acc> filter;
  const EpilogueJob<Acc>* epilogue;  // nullptr: none
  TensorStrides from;
  TensorStrides to;
};

// A kernel's job, and what each plane tells it.
template <typename Acc>
struct LineStep {
  LinesJob<Acc> job;
  void (*kernel)(const LinesJob<Acc>&);
  int64_t filter;  // from the plane's filter on
  int64_t result;  // from the plane's result on; for a job whose result is not a worker's sums
  bool is_result;
};

// Rows of the source that are copied to the ring, to slots from `slot` on, the steps that need
// them, and the rows of the result that are then put together.
struct LineBand {
  int64_t pack_begin;
  int64_t pack_end;
  int64_t slot;
  int64_t step_end;
  int64_t join_first;
  int64_t join_rows;
  int64_t join_period;
};

// The bands of a block of rows, for sources in the ring, or in place: in the tensor itself.
template <typename T>
class LineBands {
  using Acc = AccumulatorOf<T>;

 public:
  // `bands` and `steps` have room for LinesPlan::bands and steps of them.
  LineBands(const LinesCall<T>& call, bool in_place, Acc* ring, Acc* sums,
            const EpilogueJob<Acc>* epilogue, LineBand* bands, LineStep<Acc>* steps)
      : call_(call),
        g_(call.gathering),
        plan_(call.plan),
        in_place_(in_place),
        ring_(ring),
        sums_(sums),
        epilogue_(epilogue),
        bands_(bands),
        steps_(steps) {}

  LineBand* begin() const { return bands_; }
  LineBand* end() const { return bands_ + band_count_; }
  LineStep<Acc>* steps() const { return steps_; }
  // Rows of the source.
  int64_t source_begin() const { return source_begin_; }
  int64_t source_end() const { return source_end_; }

  // Lists the block's, if they are not listed already.
  void list(int64_t row_block) {
    if (row_block == row_block_) return;
    row_block_ = row_block;
    band_count_ = step_count_ = 0;
    const int64_t begin = conv::begin_of_part(g_.height.result(), plan_.row_blocks, row_block);
    const int64_t end = conv::begin_of_part(g_.height.result(), plan_.row_blocks, row_block + 1);
    int64_t packed_end = 0;
    for (int64_t y = begin; y < end; y += plan_.band_rows) {
      const int64_t band_end = std::min(y + plan_.band_rows, end);
      // Rows that are not there yet; with dilation, later bands may need some in between.
      LineBand band{};
      band.pack_begin = std::max(g_.height.lowest_source(y), packed_end);
      band.pack_end = packed_end;
      band.slot = band.pack_begin % plan_.slots;
      for (int64_t row = y; row < band_end; ++row) {
        const conv::TapRange taps = g_.height.at(row);
        if (taps.count > 0) band.pack_end = std::max(band.pack_end, taps.source + 1);
      }
      packed_end = band.pack_end;
      for (int64_t first = y; first < std::min(y + plan_.period, band_end); ++first) {
        const int64_t rows = conv::ceil_div(band_end - first, plan_.period);
        list_steps(first, rows, end);
        band.step_end = step_count_;
        if (!plan_.join.empty()) {
          band.join_first = first;
          band.join_rows = rows;
          band.join_period = plan_.period;
        }
        bands_[band_count_++] = band;
        band.pack_begin = band.pack_end;  // once
      }
    }
    source_begin_ = g_.height.lowest_source(begin);
    source_end_ = packed_end;
  }

 private:
  // Steps for rows of the result from `first` on, so many, a period apart; all rows end at `end`.
  void list_steps(int64_t first, int64_t rows, int64_t end) {
    const conv::TapRange taps = g_.height.without_borders(first);
    const int64_t sets = plan_.sets_of(taps.count);
    int64_t left = sets * g_.multiplier;
    bool begun = false;
    for (int64_t m = 0; m < g_.multiplier; ++m)
      for (int64_t set = 0; set < sets; ++set) {
        const int64_t begin = conv::begin_of_part(taps.count, sets, set);
        const int64_t count = conv::begin_of_part(taps.count, sets, set + 1) - begin;
        const conv::TapRange some{taps.tap + begin * g_.height.tap_step(),
                                  taps.source - begin * g_.height.source_step(), count};
        const bool last = --left == 0;
        for (size_t phase = 0; phase < plan_.phases.size(); ++phase) {
          LineStep<Acc>& step = steps_[step_count_++];
          step = make_step(some, m, rows, plan_.phases[phase]);
          Acc* const sums = sums_ + static_cast<int64_t>(phase) * plan_.sum_phase_stride;
          LinesJob<Acc>& job = step.job;
          job.begun = begun ? sums : nullptr;
          job.begun_row_stride = plan_.sum_row_stride;
          job.epilogue = last && call_.epilogue != nullptr ? epilogue_ : nullptr;
          step.is_result = last && plan_.join.empty();
          if (step.is_result) {
            step.result = first * call_.to.row;
            job.dtype = dtype_of(T());
            job.result_row_stride = plan_.period * call_.to.row;
            // A row that others follow, which are written later: what it has too much is theirs.
            static_assert(2 * kLeastLine >= kWidestVectorLanes, "and no more than the next one's");
            job.open_rows = plan_.period == 1 ? (first + rows < end ? rows : rows - 1) : 0;
          } else {
            job.result = sums;
            job.dtype = dtype_of(Acc());
            job.result_row_stride = plan_.sum_row_stride;
            job.open_rows = rows;
          }
        }
        begun = true;
      }
  }

  LineStep<Acc> make_step(const conv::TapRange& taps, int64_t m, int64_t rows,
                          const LinesPlan::Phase& phase) const {
    LineStep<Acc> step{};
    LinesJob<Acc>& job = step.job;
    const int64_t shift = g_.height.shift();
    const int64_t needed = taps.count == 0 ? 0 : (rows - 1) * shift + taps.count;
    for (int64_t e = 0; e < needed; ++e) {
      const int64_t row = taps.source + (e - (taps.count - 1)) * g_.height.source_step();
      if (row < 0 || row >= g_.height.source()) continue;
      job.present |= uint32_t{1} << e;
      job.sources[e] = in_place_ ? row * call_.from.row + m * call_.from.channel
                                 : row % plan_.slots * plan_.slot_stride + plan_.margin +
                                       m * plan_.multiplier_stride;
    }
    job.source = ring_;
    step.filter = m * call_.filter.multiplier_stride + taps.tap * call_.filter.row_stride;
    job.filter_row_stride =
        std::min(g_.height.tap_step(), g_.height.taps()) * call_.filter.row_stride;
    job.filter_column_stride = call_.filter.column_stride;
    job.filter_vector_stride = plan_.plane ? 0 : call_.blocks.lanes;
    job.filter_vectors = plan_.filter_vectors;
    job.taps = phase.taps.data();
    job.tap_count = taps.count == 0 ? 0 : static_cast<int64_t>(phase.taps.size());
    job.vectors = phase.vectors;
    job.whole = phase.whole;
    job.whole_end = phase.whole_end;
    job.masks = phase.masks.data();
    job.rows = rows;
    job.elements = phase.elements;
    step.kernel =
        kernels<T>().dwconv_lines[plan_.plane][shift - 1][std::max<int64_t>(1, taps.count) - 1];
    return step;
  }

  const LinesCall<T>& call_;
  const conv::Gathering& g_;
  const LinesPlan& plan_;
  const bool in_place_;
  Acc* const ring_;
  Acc* const sums_;
  const EpilogueJob<Acc>* const epilogue_;  // of the plane
  LineBand* const bands_;
  LineStep<Acc>* const steps_;

  int64_t row_block_ = -1;  // which is listed
  int64_t band_count_ = 0;
  int64_t step_count_ = 0;
  int64_t source_begin_ = 0;
  int64_t source_end_ = 0;
};

}  // namespace tf_dwbp::cpu
