// Does the items of the lines implementation: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cc/conv/math.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/packed_epilogue.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// Whether sources have the type that kernels read.
template <typename T>
constexpr bool kMayStay = std::is_same_v<T, AccumulatorOf<T>>;

// The parts of a worker's workspace.
template <typename T>
struct LinesScratch {
  LinesScratch(const LinesPlan& plan, int64_t lanes, WorkspaceLayout* layout)
      : ring(layout->add<AccumulatorOf<T>>(plan.ring)),
        sums(layout->add<AccumulatorOf<T>>(plan.sums)),
        bias(layout->add<AccumulatorOf<T>>(lanes)),
        bands(layout->add<LineBand>(plan.bands)),
        steps(layout->add<LineStep<AccumulatorOf<T>>>(plan.steps)),
        bands_in_place(layout->add<LineBand>(stays(plan) ? plan.bands : 0)),
        steps_in_place(layout->add<LineStep<AccumulatorOf<T>>>(stays(plan) ? plan.steps : 0)) {}

  static bool stays(const LinesPlan& plan) { return kMayStay<T> && plan.in_place; }

  Part<AccumulatorOf<T>> ring;
  Part<AccumulatorOf<T>> sums;
  Part<AccumulatorOf<T>> bias;  // a plane's, in all lanes
  Part<LineBand> bands;
  Part<LineStep<AccumulatorOf<T>>> steps;
  Part<LineBand> bands_in_place;
  Part<LineStep<AccumulatorOf<T>>> steps_in_place;
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
        ring_(scratch.ring.in(workspace)),
        sums_(scratch.sums.in(workspace)),
        bias_(scratch.bias.in(workspace)),
        in_ring_(call, false, ring_, sums_, &epilogue_, scratch.bands.in(workspace),
                 scratch.steps.in(workspace)),
        in_place_(call, true, ring_, sums_, &epilogue_, scratch.bands_in_place.in(workspace),
                  scratch.steps_in_place.in(workspace)) {
    // Margins are read: what comes of them is masked out.
    std::memset(ring_, 0, plan_.ring * sizeof(Acc));
    std::memset(sums_, 0, plan_.sums * sizeof(Acc));
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
    const int64_t source =
        image * call_.from.image + channel / g_.repeat * g_.multiplier * call_.from.channel;
    T* const result = call_.result + image * call_.to.image + channel * call_.to.channel;
    const Acc* const filter = filter_of(channel);
    const bool in_place = may_stay(source, row_block);
    LineBands<T>& bands = in_place ? in_place_ : in_ring_;
    bands.list(row_block);
    int64_t at = 0;
    for (const LineBand& band : bands) {
      if (!in_place && band.pack_begin < band.pack_end) pack_rows(source, band);
      for (; at < band.step_end; ++at) {
        LineStep<Acc>& step = bands.steps()[at];
        if constexpr (kMayStay<T>) {
          if (in_place) step.job.source = call_.source + source;
        }
        step.job.filter = filter + step.filter;
        if (step.is_result) step.job.result = result + step.result;
        step.kernel(step.job);
      }
      if (band.join_rows > 0) join(band, result);
    }
  }

  // Whether the kernels may read a plane of the source itself: what they read before and after its
  // rows, to mask it out, has to be inside the tensor.
  bool may_stay(int64_t source, int64_t row_block) {
    if (!LinesScratch<T>::stays(plan_)) return false;
    in_place_.list(row_block);
    const int64_t first = source + in_place_.source_begin() * call_.from.row;
    const int64_t last = source +
                         std::max<int64_t>(0, in_place_.source_end() - 1) * call_.from.row +
                         (g_.multiplier - 1) * call_.from.channel;
    return first >= plan_.before && last + plan_.after <= g_.source_elements();
  }

  // Of a plane's channel; also sets its epilogue.
  const Acc* filter_of(int64_t channel) {
    if (call_.epilogue != nullptr) epilogue_ = *call_.epilogue;
    if (!plan_.plane) return call_.filter.taps;
    const ChannelBlocks& blocks = call_.blocks;
    const int64_t block = channel / blocks.lanes;
    // The last block may overlap the one before.
    const int64_t first = std::max<int64_t>(
        0, block + 1 < blocks.count ? block * blocks.lanes : g_.channels - blocks.lanes);
    const int64_t lane = channel - first;
    if (epilogue_.bias != nullptr) {
      std::fill_n(bias_, blocks.lanes, epilogue_.bias[block * blocks.lanes + lane]);
      epilogue_.bias = bias_;
    }
    return call_.filter.taps + block * call_.filter.block_stride + lane;
  }

  // Copies rows of the source to the ring.
  void pack_rows(int64_t source, const LineBand& band) const {
    for (int64_t m = 0; m < (plan_.plane ? g_.multiplier : 1); ++m) {
      const int64_t from = source + m * call_.from.channel + band.pack_begin * call_.from.row;
      LineRows<T, Acc> rows{call_.source + from,
                            call_.from.row,
                            g_.source_elements() - from,
                            ring_ + plan_.margin + m * plan_.multiplier_stride,
                            plan_.slot_stride,
                            band.slot,
                            plan_.slots,
                            band.pack_end - band.pack_begin,
                            plan_.strand_elements(0),
                            plan_.strand_stride - plan_.margin};
      if (plan_.split.empty()) {
        kernels<T>().widen(rows);
        continue;
      }
      for (size_t i = 0; i < plan_.split.size(); ++i, rows.to += plan_.strand_stride) {
        rows.elements = plan_.strand_elements(static_cast<int64_t>(i) % g_.width.phase_shift());
        kernels<T>().spread_in(
            {rows, plan_.split[i].data(), plan_.filter_vectors, plan_.split_advance});
      }
    }
  }

  // Puts lines together from their phases.
  void join(const LineBand& band, T* result) const {
    const int64_t elements = g_.width.result() * plan_.channels;
    const LineRows<Acc, T> rows{sums_,
                                plan_.sum_row_stride,
                                plan_.sums,
                                result + band.join_first * call_.to.row,
                                band.join_period * call_.to.row,
                                0,
                                band.join_rows,
                                band.join_rows,
                                elements,
                                elements};
    kernels<T>().spread_out(
        {rows, plan_.join.data(), static_cast<int64_t>(plan_.join.size()), plan_.join_advance});
  }

  const LinesCall<T>& call_;
  const conv::Gathering& g_;
  const LinesPlan& plan_;
  Acc* const ring_;
  Acc* const sums_;
  Acc* const bias_;

  EpilogueJob<Acc> epilogue_{};  // of the plane
  LineBands<T> in_ring_;
  LineBands<T> in_place_;
};

}  // namespace tf_dwbp::cpu
