#include "cc/cpu/packed_filter.h"

#include <algorithm>
#include <cstring>

#include "cc/conv/math.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

using conv::ceil_div;
using conv::Gathering;

Gathering gathering_of(const conv::Problem& problem) {
  return problem.op == conv::Op::kForward ? Gathering::forward(problem.geometry)
                                          : Gathering::input_grad(problem.geometry);
}

ChannelBlocks::ChannelBlocks(const Gathering& g, int64_t lanes)
    : lanes(lanes),
      count(ceil_div(g.channels, lanes)),
      few(g.channels < lanes),
      images(few ? std::min(lanes / g.channels, g.batch) : 1) {}

PackedFilter::PackedFilter(const Gathering& g, const ChannelBlocks& blocks)
    : row_stride(g.width.taps() * blocks.lanes),
      multiplier_stride(row_stride * g.height.taps()),
      block_stride(multiplier_stride * g.multiplier),
      elements(block_stride * blocks.count) {}

template <typename T>
void pack_filter(const Gathering& g, const ChannelBlocks& blocks, const PackedFilter& layout,
                 const T* filter, AccumulatorOf<T>* packed) {
  const int64_t lanes = std::min(g.channels, blocks.lanes);
  if (blocks.few) std::memset(packed, 0, layout.elements * sizeof(*packed));
  const int64_t rows = g.height.taps(), columns = g.width.taps();
  const int64_t column = g.channels * g.multiplier;
  const int64_t direction = g.reversed ? -1 : 1;
  PackJob<const T> job;
  job.tensor = filter + (g.reversed ? (rows * columns - 1) * column : 0);
  job.packed = packed;
  job.lanes = {blocks.count,       g.channels - lanes,
               blocks.images,
               /*image_stride=*/0, lanes,
               g.multiplier};
  job.multiplier = g.multiplier;
  job.rows = rows;
  job.columns = columns;
  job.multiplier_stride = 1;
  job.row_stride = direction * columns * column;
  job.column_stride = direction * column;
  job.packed_block_stride = layout.block_stride;
  job.packed_multiplier_stride = layout.multiplier_stride;
  job.packed_row_stride = layout.row_stride;
  job.first_slot = 0;
  job.slots = rows;
  kernels<T>().pack(job);
}

#define TF_DWBP_INSTANTIATE(kind, T, name)                                                  \
  template void pack_filter<T>(const Gathering&, const ChannelBlocks&, const PackedFilter&, \
                               const T*, AccumulatorOf<T>*);
TF_DWBP_DTYPES(TF_DWBP_INSTANTIATE)
#undef TF_DWBP_INSTANTIATE

double cycles_of_item(const Gathering& g, const ChannelBlocks& blocks, int64_t items) {
  const double taps = g.height.average_taps() * g.width.average_taps() * g.multiplier;
  const double vectors = static_cast<double>(g.height.result()) * g.width.result() * blocks.count *
                         ceil_div(g.batch, blocks.images) / items;
  return vectors * (kCyclesOfVector + taps);
}

}  // namespace tf_dwbp::cpu
