// How eigen.cc cuts a problem.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cc/conv/gather.h"
#include "cc/conv/math.h"
#include "cc/conv/problem.h"
#include "cc/cpu/cost.h"
#include "cc/cpu/eigen_packets.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/tuning.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu::eigen {

using conv::ceil_div;
using conv::Gathering;

// A problem is cut into blocks of channels, and parts of the result's rows. The filter gradient is
// walked through as the forward op is: each element of out_backprop, instead of gathering products
// of the source and the filter, adds its own product with the source to the filter's gradient.
template <typename T>
struct Cut {
  using Acc = AccumulatorOf<T>;

  Cut(const conv::Problem& problem, int64_t workers)
      : filter_grad(problem.op == conv::Op::kFilterGrad),
        epilogue(problem.epilogue),
        g(problem.op == conv::Op::kInputGrad ? Gathering::input_grad(problem.geometry)
                                             : Gathering::forward(problem.geometry)),
        from(g.layout, g.source_channels(), g.height.source(), g.width.source()),
        to(g.layout, g.channels, g.height.result(), g.width.result()),
        taps(g.height.taps() * g.width.taps()),
        row_period(std::min(g.height.period(), g.height.result())),
        column_period(std::min(g.width.period(), g.width.result())) {
    // Channels that are adjacent, fill packets and need no conversion are used where they lie.
    const bool usable = std::is_same_v<T, Acc> && g.channels % kPacket<Acc> == 0;
    direct_from = usable && from.channel == 1 && g.multiplier * g.repeat == 1;
    direct_to = usable && to.channel == 1;
    columns = std::clamp<int64_t>(kEigenColumns / g.width.shift(), 1,
                                  ceil_div(g.width.result(), column_period));
    shift = columns == 1 ? 0 : g.width.shift();
    slots = std::min(g.height.most_taps(), g.height.source());
    held = std::min((columns - 1) * shift + g.width.most_taps(), g.width.source());
    const int64_t lane = g.multiplier * ((direct_from ? 0 : slots * held) + taps) + columns;
    const int64_t most = kEigenBytes / int64_t{sizeof(Acc)} / lane / kPacket<Acc> * kPacket<Acc>;
    lanes = std::clamp(most, kPacket<Acc>, direct_from ? kEigenLanes : kEigenPackedLanes);
    blocks = ceil_div(g.channels, lanes);
    lanes = ceil_div(ceil_div(g.channels, blocks), kPacket<Acc>) * kPacket<Acc>;
    rows = filter_grad ? g.batch * g.height.result() : g.height.result();
    const int64_t bytes = 2 * blocks * lanes * taps * int64_t{sizeof(Acc)};
    parts = filter_grad ? std::min({kMostParts, ceil_div(rows * g.width.result(), kTermsOfPart),
                                    rows, std::max<int64_t>(1, kPartsBytes / bytes)})
                        : std::min(ceil_div(items_wanted(workers), g.batch * blocks),
                                   ceil_div(rows, kLeastBlockRows));
    items = (filter_grad ? 1 : g.batch) * blocks * parts;
    WorkspaceLayout layout, worker;
    sums = layout.add<Acc>(filter_grad ? items * 2 * taps * lanes : 0);
    tile = worker.add<Acc>(direct_from ? 0 : g.multiplier * slots * held * lanes);
    filter = worker.add<Acc>(g.multiplier * taps * lanes);
    row = worker.add<Acc>(direct_to ? 0 : columns * lanes);
    bias = worker.add<Acc>(epilogue.bias ? lanes : 0);
    row_pointers = worker.add<const Acc*>(g.multiplier * slots);
    held_rows = worker.add<int64_t>(slots);
    from_places = worker.add<int64_t>(lanes);
    to_places = worker.add<int64_t>(lanes);
    worker_parts = WorkerParts(worker, workers, &layout);
    workspace_bytes = layout.bytes();
  }

  double cycles(const conv::Problem& problem) const {
    return cycles_of(problem, static_cast<double>(g.batch) * to.image / kPacket<Acc>,
                     g.average_products());
  }

  bool filter_grad;
  conv::Epilogue epilogue;
  Gathering g;  // "the result" is out_backprop for the filter gradient, "the source" the input
  TensorStrides from, to;  // of the source, and of the result or out_backprop
  int64_t taps;
  // Positions of the result that are so far apart gather from the same spaced positions.
  int64_t row_period, column_period;
  bool direct_from, direct_to;  // the source, and the result or out_backprop, where they lie
  int64_t columns;              // of the result, a period apart, at a time
  int64_t shift;                // from one to the next, in columns of the packed tile
  int64_t slots, held;          // rows and columns of the packed tile
  int64_t blocks, lanes;
  int64_t rows, parts;
  int64_t items;
  Part<Acc> sums;  // [block][part][sum, lost][tap][lane] of the filter gradient
  // A worker's, see there.
  Part<Acc> tile, filter, row, bias;
  Part<const Acc*> row_pointers;
  Part<int64_t> held_rows, from_places, to_places;
  WorkerParts worker_parts;
  int64_t workspace_bytes;
};

}  // namespace tf_dwbp::cpu::eigen
