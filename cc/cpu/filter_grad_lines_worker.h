// Does the items of the filter gradient by lines: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cc/conv/math.h"
#include "cc/cpu/filter_grad_lines_plan.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_planes.h"
#include "cc/cpu/lines_source.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/tuning.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// A call, and what all of its items share.
template <typename T>
struct FilterGradLinesCall {
  const conv::Gathering& gathering;
  const FilterGradLinesPlan& plan;
  LineTensor<T> source;
  LineTensor<T> out;
  bool prefetches;         // what comes next
  AccumulatorOf<T>* sums;  // of all parts
};

// A kernel's job for the first of its horizontal taps, and what each plane tells it.
template <typename Acc>
struct FilterGradLineStep {
  FilterGradLinesJob<Acc> job;
  void (*const* kernels)(const FilterGradLinesJob<Acc>&);  // for 1, 2, ... horizontal taps
  int64_t sets;                                            // of horizontal taps
  int64_t sums;                                            // from the group's sums on
};

// Lists steps (see LineBands) for sources in the ring, or in place.
template <typename T>
class ListFilterGradLineSteps {
  using Acc = AccumulatorOf<T>;
  using Step = FilterGradLineStep<Acc>;

 public:
  ListFilterGradLineSteps(const FilterGradLinesCall<T>& call, bool in_place)
      : call_(call), in_place_(in_place) {}

  Step* operator()(int64_t first, int64_t rows, int64_t, Step* step) const {
    const conv::Gathering& g = call_.gathering;
    const FilterGradLinesPlan& plan = call_.plan;
    const conv::TapRange taps = g.height.without_borders(first);
    const int64_t sets = plan.lines.sets_of(taps.count);
    for (int64_t set = 0; set < sets; ++set, ++step) {
      const conv::TapRange some = set_of_taps(g.height, taps, sets, set);
      *step = {};
      step->job.gather = make_line_gather<Acc>(g, plan.lines, plan.lines.phases[0], some, rows, 0,
                                               in_place_, call_.source.strides);
      step->job.sum_row_stride = plan.sum_row_stride;
      step->job.sum_column_stride = plan.sum_lanes;
      if (some.count > 0) {
        step->kernels =
            kernels<Acc>().dwconv_filter_grad_lines[g.height.shift() - 1][some.count - 1];
        // All horizontal taps, as many at a time as there are registers for.
        step->sets = conv::ceil_div(step->job.gather.tap_count,
                                    dispatch().filter_grad_line_columns[some.count - 1]);
      }
      step->sums = some.tap * plan.sum_row_stride;
    }
    return step;
  }

 private:
  const FilterGradLinesCall<T>& call_;
  const bool in_place_;
};

// The parts of a worker's workspace.
template <typename T>
struct FilterGradLinesScratch {
  using Acc = AccumulatorOf<T>;

  FilterGradLinesScratch(const FilterGradLinesPlan& plan, WorkspaceLayout* layout)
      : planes(plan.lines, layout),
        out(layout->add<Acc>(plan.out)),
        sums(layout->add<Acc>(plan.sum_group_stride * plan.most_groups)),
        terms(layout->add<int64_t>(plan.most_groups)) {}

  LinePlanesScratch<T, FilterGradLineStep<Acc>> planes;
  Part<Acc> out;
  Part<Acc> sums;
  Part<int64_t> terms;  // that each group's lanes have, at most
};

// Does the items of one worker, one after the other.
template <typename T>
class FilterGradLinesWorker {
  using Acc = AccumulatorOf<T>;
  using Step = FilterGradLineStep<Acc>;

 public:
  FilterGradLinesWorker(const FilterGradLinesCall<T>& call,
                        const FilterGradLinesScratch<T>& scratch, void* workspace)
      : call_(call),
        g_(call.gathering),
        plan_(call.plan),
        lanes_(lanes<T>()),
        planes_(g_, plan_.lines, call.source, call.prefetches, scratch.planes, workspace),
        out_(scratch.out.in(workspace)),
        sums_(scratch.sums.in(workspace)),
        terms_(scratch.terms.in(workspace)) {
    std::fill_n(sums_, scratch.sums.count, Acc{0});
    std::fill_n(terms_, scratch.terms.count, 0);
  }

  void run(int64_t item) {
    const int64_t chunk = item % plan_.chunks;
    const int64_t part = item / plan_.chunks;
    const int64_t rows = part % plan_.row_parts;
    const int64_t images = part / plan_.row_parts;
    part_sums_ = call_.sums + part * plan_.part_stride;
    first_group_ = conv::begin_of_part(plan_.groups, plan_.chunks, chunk);
    const int64_t groups =
        conv::begin_of_part(plan_.groups, plan_.chunks, chunk + 1) - first_group_;
    const int64_t first = conv::begin_of_part(g_.batch, plan_.image_parts, images);
    const int64_t end = conv::begin_of_part(g_.batch, plan_.image_parts, images + 1);
    const int64_t row_blocks = plan_.lines.row_blocks;
    for (int64_t row_block = conv::begin_of_part(row_blocks, plan_.row_parts, rows);
         row_block < conv::begin_of_part(row_blocks, plan_.row_parts, rows + 1); ++row_block) {
      for (int64_t image = first; image < end; ++image)
        for (int64_t group = 0; group < groups; ++group) sum_plane(image, group, row_block);
    }
    for (int64_t group = 0; group < groups; ++group) fold(group);
  }

 private:
  void sum_plane(int64_t image, int64_t group, int64_t row_block) {
    const int64_t channel = (first_group_ + group) * plan_.group;
    const LineBands<Step>& bands = planes_.begin(image, channel, row_block, [this](bool in_place) {
      return ListFilterGradLineSteps<T>(call_, in_place);
    });
    const TensorStrides& out_strides = call_.out.strides;
    const int64_t out = image * out_strides.image + channel * out_strides.channel;
    const int64_t sum_vectors = plan_.sum_lanes / lanes_;
    Step* step = bands.steps();
    for (const LineBand& band : bands) {
      const int64_t out_first = out + band.first * out_strides.row;
      const Acc* const source = planes_.take(band, call_.out.first + out_first, out_strides.row);
      const Rows rows = out_rows(out_first, band.rows);
      Step* const band_end = bands.steps() + band.step_end;
      for (int64_t block = 0; block < plan_.column_blocks; ++block) {
        const int64_t first = plan_.first_of(block), last = plan_.first_of(block + 1);
        count_terms(group, band.rows * (last - first));
        for (Step* each = step; each < band_end; ++each) {
          FilterGradLinesJob<Acc>& job = each->job;
          job.gather.source = source;
          job.out = rows.first;
          job.out_row_stride = rows.stride;
          job.sum_vectors = sum_vectors;
          job.begin = first * sum_vectors;
          job.end = std::min(last * sum_vectors, job.gather.vectors);
          job.sums = sums_ + group * plan_.sum_group_stride + each->sums;
          run_sets(each);
        }
      }
      step = band_end;
    }
  }

  static void run_sets(Step* step) {
    FilterGradLinesJob<Acc>& job = step->job;
    job.first_tap = 0;
    for (int64_t set = 1; set <= step->sets; ++set) {
      const int64_t next = conv::begin_of_part(job.gather.tap_count, step->sets, set);
      step->kernels[next - job.first_tap - 1](job);
      job.first_tap = next;
    }
  }

  struct Rows {
    const Acc* first;
    int64_t stride;
  };

  // So many rows of out_backprop, a period apart, the first so many elements from its first: where
  // they are, if kernels may read whole vectors there, or copied.
  Rows out_rows(int64_t first, int64_t rows) {
    const int64_t stride = plan_.lines.period * call_.out.strides.row;
    const int64_t elements = g_.result_elements();
    if constexpr (std::is_same_v<T, Acc>) {
      if (first + (rows - 1) * stride + plan_.out_stride <= elements) {
        return {call_.out.first + first, stride};
      }
    }
    // Whole vectors of a copied line are read: what is beyond its end is masked out.
    if (!out_cleared_) std::fill_n(out_, plan_.out, Acc{0});
    out_cleared_ = true;
    kernels<T>().widen({call_.out.first + first, stride, elements - first, out_, plan_.out_stride,
                        0, rows, rows, g_.width.result() * plan_.group, plan_.out_stride});
    return {out_, plan_.out_stride};
  }

  // Before a group's lanes get more terms.
  void count_terms(int64_t group, int64_t more) {
    if (terms_[group] + more > kVisitTerms) fold(group);
    terms_[group] += more;
  }

  // Adds what the lanes of a group hold to the part's sums. Taps are counted from the filter's
  // last.
  void fold(int64_t group) {
    const int64_t taps = g_.height.taps() * g_.width.taps();
    terms_[group] = 0;
    kernels<Acc>().fold_lines(
        {sums_ + group * plan_.sum_group_stride, taps, plan_.sum_lanes, plan_.group, part_sums_,
         (taps - 1) * g_.channels + (first_group_ + group) * plan_.group, -g_.channels});
  }

  const FilterGradLinesCall<T>& call_;
  const conv::Gathering& g_;
  const FilterGradLinesPlan& plan_;
  const int64_t lanes_;
  LinePlanes<T, Step> planes_;
  Acc* const out_;
  Acc* const sums_;  // [group][vertical tap][horizontal tap][lane]
  int64_t* const terms_;

  bool out_cleared_ = false;
  Acc* part_sums_ = nullptr;
  int64_t first_group_ = 0;
};

}  // namespace tf_dwbp::cpu
