// The steps of a band of rows, in the lines implementation of the forward op and the input
// gradient.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/lines_source.h"
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
  LineTensor<T> source;
  T* result;
  TensorStrides to;
  LinesFilter<Acc> filter;
  const EpilogueJob<Acc>* epilogue;  // nullptr: none
  bool prefetches;                   // what comes next
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

// Lists steps (see LineBands) for sources in the ring, or in place.
template <typename T>
class ListLineSteps {
  using Acc = AccumulatorOf<T>;

 public:
  // `epilogue`: of the plane.
  ListLineSteps(const LinesCall<T>& call, bool in_place, Acc* sums,
                const EpilogueJob<Acc>* epilogue)
      : call_(call),
        g_(call.gathering),
        plan_(call.plan),
        in_place_(in_place),
        sums_(sums),
        epilogue_(epilogue) {}

  LineStep<Acc>* operator()(int64_t first, int64_t rows, int64_t end, LineStep<Acc>* step) const {
    const conv::TapRange taps = g_.height.without_borders(first);
    const int64_t sets = plan_.sets_of(taps.count);
    int64_t left = sets * g_.multiplier;
    bool begun = false;
    for (int64_t m = 0; m < g_.multiplier; ++m)
      for (int64_t set = 0; set < sets; ++set) {
        const conv::TapRange some = set_of_taps(g_.height, taps, sets, set);
        const bool last = --left == 0;
        for (size_t phase = 0; phase < plan_.phases.size(); ++phase, ++step) {
          *step = make_step(some, m, rows, plan_.phases[phase]);
          Acc* const sums = sums_ + static_cast<int64_t>(phase) * plan_.sum_phase_stride;
          LinesJob<Acc>& job = step->job;
          job.begun = begun ? sums : nullptr;
          job.begun_row_stride = plan_.sum_row_stride;
          job.epilogue = last && call_.epilogue != nullptr ? epilogue_ : nullptr;
          step->is_result = last && plan_.join.empty();
          if (step->is_result) {
            step->result = first * call_.to.row;
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
    return step;
  }

 private:
  LineStep<Acc> make_step(const conv::TapRange& taps, int64_t m, int64_t rows,
                          const LinesPlan::Phase& phase) const {
    LineStep<Acc> step{};
    LinesJob<Acc>& job = step.job;
    job.gather =
        make_line_gather<Acc>(g_, plan_, phase, taps, rows, m, in_place_, call_.source.strides);
    step.filter = m * call_.filter.multiplier_stride + taps.tap * call_.filter.row_stride;
    job.filter_row_stride =
        std::min(g_.height.tap_step(), g_.height.taps()) * call_.filter.row_stride;
    job.filter_column_stride = call_.filter.column_stride;
    job.filter_vector_stride = plan_.plane ? 0 : call_.blocks.lanes;
    job.filter_vectors = plan_.filter_vectors;
    job.elements = phase.elements;
    step.kernel =
        kernels<Acc>()
            .dwconv_lines[plan_.plane][g_.height.shift() - 1][std::max<int64_t>(1, taps.count) - 1];
    return step;
  }

  const LinesCall<T>& call_;
  const conv::Gathering& g_;
  const LinesPlan& plan_;
  const bool in_place_;
  Acc* const sums_;
  const EpilogueJob<Acc>* const epilogue_;
};

}  // namespace tf_dwbp::cpu
