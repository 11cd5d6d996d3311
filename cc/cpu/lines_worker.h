// Does the items of the lines implementation: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/math.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/lines_planes.h"
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
      : planes(plan, layout), sums(layout->add<Acc>(plan.sums)), bias(layout->add<Acc>(lanes)) {}

  LinePlanesScratch<T, LineStep<Acc>> planes;
  Part<Acc> sums;
  Part<Acc> bias;  // a plane's, in all lanes
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
        planes_(g_, plan_, call.source, call.prefetches, scratch.planes, workspace),
        sums_(scratch.sums.in(workspace)),
        bias_(scratch.bias.in(workspace)) {
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
    T* const result = call_.result + image * call_.to.image + channel * call_.to.channel;
    const Acc* const filter = filter_of(channel);
    const LineBands<LineStep<Acc>>& bands = planes_.begin(
        image, channel, row_block,
        [this](bool in_place) { return ListLineSteps<T>(call_, in_place, sums_, &epilogue_); });
    LineStep<Acc>* step = bands.steps();
    for (const LineBand& band : bands) {
      const Acc* const source =
          planes_.take(band, result + band.first * call_.to.row, call_.to.row);
      for (; step < bands.steps() + band.step_end; ++step) {
        step->job.gather.source = source;
        step->job.filter = filter + step->filter;
        if (step->is_result) step->job.result = result + step->result;
        step->kernel(step->job);
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
  LinePlanes<T, LineStep<Acc>> planes_;
  Acc* const sums_;
  Acc* const bias_;
  EpilogueJob<Acc> epilogue_{};  // of the plane
};

}  // namespace tf_dwbp::cpu
