// Does the items of the lines implementation: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/lines_source.h"
#include "cc/cpu/lines_steps.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// The parts of a worker's workspace.
template <typename T>
struct LinesScratch {
  using Acc = AccumulatorOf<T>;

  LinesScratch(const LinesPlan& plan, int64_t lanes, WorkspaceLayout* layout)
      : ring(layout->add<Acc>(plan.ring)),
        sums(layout->add<Acc>(plan.sums)),
        bias(layout->add<Acc>(lanes)),
        bands(layout->add<LineBand>(plan.bands)),
        steps(layout->add<LineStep<Acc>>(plan.steps)),
        bands_in_place(layout->add<LineBand>(LineSource<T>::may_stay(plan) ? plan.bands : 0)),
        steps_in_place(layout->add<LineStep<Acc>>(LineSource<T>::may_stay(plan) ? plan.steps : 0)) {
  }

  Part<Acc> ring;
  Part<Acc> sums;
  Part<Acc> bias;  // a plane's, in all lanes
  Part<LineBand> bands;
  Part<LineStep<Acc>> steps;
  Part<LineBand> bands_in_place;
  Part<LineStep<Acc>> steps_in_place;
};

// Does the items of one worker, one after the other.
template <typename T>
class LinesWorker {
  using Acc = AccumulatorOf<T>;

 public:
  LinesWorker(const LinesCall<T>& call, const LinesScratch<T>& scratch, void* workspace)
      : call_(call),
        g_(call.gathering),
        plan_(call.plan),
        source_(call.gathering, call.plan, call.source, scratch.ring.in(workspace)),
        sums_(scratch.sums.in(workspace)),
        bias_(scratch.bias.in(workspace)),
        list_in_ring_(call, false, source_.ring(), sums_, &epilogue_),
        list_in_place_(call, true, nullptr, sums_, &epilogue_),
        in_ring_(g_, plan_, scratch.bands.in(workspace), scratch.steps.in(workspace)),
        in_place_(g_, plan_, scratch.bands_in_place.in(workspace),
                  scratch.steps_in_place.in(workspace)) {
    // Where phases are joined, whole vectors are read.
    if (!plan_.join.empty()) std::fill_n(sums_, plan_.sums, Acc{0});
  }

  void run(int64_t item) {
    const int64_t row_block = item % plan_.row_blocks;
    const int64_t block = item / plan_.row_blocks;
    const int64_t end = conv::begin_of_part(plan_.planes, plan_.plane_blocks, block + 1);
    for (int64_t plane = conv::begin_of_part(plan_.planes, plan_.plane_blocks, block); plane < end;
         ++plane) {
      run_plane(plane, row_block);
    }
  }

 private:
  void run_plane(int64_t plane, int64_t row_block) {
    const int64_t channels = plan_.plane ? g_.channels : 1;
    const int64_t image = plane / channels, channel = plane % channels;
    const int64_t source = source_.plane(image, channel);
    T* const result = call_.result + image * call_.to.image + channel * call_.to.channel;
    const Acc* const filter = filter_of(channel);
    bool in_place = LineSource<T>::may_stay(plan_);
    if (in_place) {
      in_place_.list(row_block, list_in_place_);
      in_place = source_.stays(source, in_place_.source_begin(), in_place_.source_end());
    }
    if (!in_place) in_ring_.list(row_block, list_in_ring_);
    const LineBands<LineStep<Acc>>& bands = in_place ? in_place_ : in_ring_;
    int64_t at = 0;
    for (const LineBand& band : bands) {
      if (!in_place) source_.pack(source, band);
      if (call_.prefetches && band.pack_begin < band.pack_end) {
        if (in_place) source_.prefetch_after(source, band);
        prefetch_after_rows(result + band.first * call_.to.row,
                            plan_.band_rows * call_.to.row * int64_t{sizeof(T)});
      }
      for (; at < band.step_end; ++at) {
        LineStep<Acc>& step = bands.steps()[at];
        if (in_place) step.job.gather.source = source_.in_place(source);
        step.job.filter = filter + step.filter;
        if (step.is_result) step.job.result = result + step.result;
        step.kernel(step.job);
      }
      if (!plan_.join.empty()) join(band, result);
    }
  }

  // Of a plane's channel; also sets its epilogue.
  const Acc* filter_of(int64_t channel) {
    if (call_.epilogue != nullptr) epilogue_ = *call_.epilogue;
    if (!plan_.plane) return call_.filter.taps;
    const ChannelBlocks& blocks = call_.blocks;
    const int64_t block = channel / blocks.lanes;
    const int64_t lane = channel - blocks.first_channel(block);
    if (epilogue_.bias != nullptr) {
      std::fill_n(bias_, blocks.lanes, epilogue_.bias[block * blocks.lanes + lane]);
      epilogue_.bias = bias_;
    }
    return call_.filter.taps + block * call_.filter.block_stride + lane;
  }

  // Puts lines together from their phases.
  void join(const LineBand& band, T* result) const {
    const int64_t elements = g_.width.result() * plan_.channels;
    const LineRows<Acc, T> rows{sums_,
                                plan_.sum_row_stride,
                                plan_.sums,
                                result + band.first * call_.to.row,
                                plan_.period * call_.to.row,
                                0,
                                band.rows,
                                band.rows,
                                elements,
                                elements};
    kernels<T>().spread_out(
        {rows, plan_.join.data(), static_cast<int64_t>(plan_.join.size()), plan_.join_advance});
  }

  const LinesCall<T>& call_;
  const conv::Gathering& g_;
  const LinesPlan& plan_;
  LineSource<T> source_;
  Acc* const sums_;
  Acc* const bias_;

  EpilogueJob<Acc> epilogue_{};  // of the plane
  const ListLineSteps<T> list_in_ring_;
  const ListLineSteps<T> list_in_place_;
  LineBands<LineStep<Acc>> in_ring_;
  LineBands<LineStep<Acc>> in_place_;
};

}  // namespace tf_dwbp::cpu
