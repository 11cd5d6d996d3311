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
  return problem.op == conv::Op::kInputGrad ? Gathering::input_grad(problem.geometry)
                                            : Gathering::forward(problem.geometry);
}

ChannelBlocks::ChannelBlocks(const Gathering& g, int64_t lanes)
    : channels(g.channels),
      lanes(lanes),
      count(ceil_div(g.channels, lanes)),
      few(g.channels < lanes),
      images(few ? std::min(lanes / g.channels, g.batch) : 1) {}

PackedFilter::PackedFilter(const Gathering& g, const ChannelBlocks& blocks)
    : PackedFilter(g.height.taps(), g.width.taps(), g.multiplier, blocks) {}

PackedFilter::PackedFilter(int64_t rows, int64_t columns, int64_t multiplier,
                           const ChannelBlocks& blocks)
    : row_stride(columns * blocks.lanes),
      multiplier_stride(row_stride * rows),
      block_stride(multiplier_stride * multiplier),
      elements(block_stride * blocks.count) {}

namespace {

// Taps of all channels.
struct Taps {
  int64_t rows;
  int64_t columns;
  int64_t multiplier;
  bool reversed;
};

template <typename T>
void pack_taps(const Taps& taps, int64_t channels, const ChannelBlocks& blocks,
               const PackedFilter& layout, const T* from, AccumulatorOf<T>* packed) {
  const int64_t lanes = std::min(channels, blocks.lanes);
  if (blocks.few) std::memset(packed, 0, layout.elements * sizeof(*packed));
  const auto [rows, columns, multiplier, reversed] = taps;
  const int64_t column = channels * multiplier;
  const int64_t direction = reversed ? -1 : 1;
  PackJob<const T> job;
  job.tensor = from + (reversed ? (rows * columns - 1) * column : 0);
  job.packed = packed;
  job.lanes = {blocks.count,       blocks.first_channel(blocks.count - 1),
               blocks.images,
               /*image_stride=*/0, lanes,
               multiplier};
  job.multiplier = multiplier;
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

}  // namespace

template <typename T>
void pack_filter(const Gathering& g, const ChannelBlocks& blocks, const PackedFilter& layout,
                 const T* filter, AccumulatorOf<T>* packed) {
  pack_taps({g.height.taps(), g.width.taps(), g.multiplier, g.reversed}, g.channels, blocks, layout,
            filter, packed);
}

template <typename T>
void pack_bias(const Gathering& g, const ChannelBlocks& blocks, const T* bias,
               AccumulatorOf<T>* packed) {
  pack_taps({1, 1, 1, false}, g.channels, blocks, {1, 1, 1, blocks}, bias, packed);
}

#define TF_DWBP_INSTANTIATE(kind, T, name)                                                  \
  template void pack_filter<T>(const Gathering&, const ChannelBlocks&, const PackedFilter&, \
                               const T*, AccumulatorOf<T>*);                                \
  template void pack_bias<T>(const Gathering&, const ChannelBlocks&, const T*, AccumulatorOf<T>*);
TF_DWBP_DTYPES(TF_DWBP_INSTANTIATE)
#undef TF_DWBP_INSTANTIATE

}  // namespace tf_dwbp::cpu
