// The forward op and the input gradient from a packed tile of the source (see jobs.h). The scalar
// loop for one column tile of one row, for the channel of each lane, is
//
//   for x in the tile's columns:
//     sum = accumulate ? result[x] : 0
//     for m < multiplier, for y in the row's vertical taps, for i in the tile's horizontal taps:
//       if column x gathers from inside through tap i:
//         sum += filter[m][tap of y][tap of i] * packed[m][slot of y][column of x, i]
//     result[x] = epilogue(sum)
#pragma once

#include "cc/cpu/kernels/finish.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/simd.h"

namespace tf_dwbp::cpu {
namespace {

// A multiply-add takes one operand from memory, so that with the filter's vector loaded once for
// kColumns of them, loads and multiply-adds balance, and what a tap costs besides is shared by
// many. All of stride, dilation and multiplier is in the data: the loop is the same, but for
// whether the columns of a tile gather from columns of the packed tile that are adjacent. Tiles at
// a border have some taps that do not reach all of their columns.
template <bool kAdjacent, int kColumns, typename T>
void dwconv_packed(const PackedJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr uint32_t kAll = (uint32_t{1} << kColumns) - 1;
  const int64_t filter_vertical = job.vertical_tap * job.filter_row_stride;
  const int64_t filter_horizontal = job.horizontal_tap * kLanes;
  const int64_t packed_horizontal = job.horizontal_column * kLanes;
  for (int64_t block = 0; block < job.channel_blocks; ++block) {
    const Acc* packed_block = job.packed + block * job.packed_block_stride;
    const Acc* filter_block = job.filter + block * job.filter_block_stride;
    const bool last = block + 1 == job.channel_blocks;
    T* result_block = job.result + (last ? job.result_last_block : block * job.result_block_stride);
    for (int64_t r = 0; r < job.row_count; ++r) {
      const RowTaps row = job.rows[r];
      T* result_row = result_block + r * job.result_row_stride;
      for (int64_t t = 0; t < job.tile_count; ++t) {
        const ColumnTile tile = job.tiles[t];
        T* result = result_row + tile.column * job.result_column_stride;
        V sums[1][kColumns];
#pragma GCC unroll 16
        for (int x = 0; x < kColumns; ++x) sums[0][x] = V{};
        if (job.accumulate) {
#pragma GCC unroll 16
          for (int x = 0; x < kColumns; ++x) {
            sums[0][x] = Lanes<T>::load(result + x * job.result_tile_stride);
          }
        }
        const uint32_t* masks = tile.first_mask < 0 ? nullptr : job.masks + tile.first_mask;
        for (int64_t m = 0; m < job.multiplier; ++m) {
          const Acc* filter_taps = filter_block + m * job.filter_multiplier_stride +
                                   row.taps.tap * job.filter_row_stride + tile.taps.tap * kLanes;
          const Acc* packed_rows = packed_block + m * job.packed_multiplier_stride;
          int64_t slot = row.slot;
          for (int64_t y = 0; y < row.taps.count; ++y) {
            const Acc* filter = filter_taps;
            const Acc* packed_row = packed_rows + slot * job.packed_row_stride;
            // What the first column gathers from; where that is outside, before the row.
            int64_t from = tile.taps.source * kLanes;
            for (int64_t i = 0; i < tile.taps.count; ++i) {
              const V tap = Lanes<Acc>::load(filter);
              const uint32_t mask = masks == nullptr ? kAll : masks[i];
              if (mask == kAll) {
#pragma GCC unroll 16
                for (int x = 0; x < kColumns; ++x) {
                  const int64_t column = kAdjacent ? x * kLanes : x * job.packed_tile_stride;
                  sums[0][x] += tap * Lanes<Acc>::load(packed_row + (from + column));
                }
              } else {
#pragma GCC unroll 16
                for (int x = 0; x < kColumns; ++x) {
                  const int64_t column = kAdjacent ? x * kLanes : x * job.packed_tile_stride;
                  if ((mask >> x & 1) == 0) continue;
                  sums[0][x] += tap * Lanes<Acc>::load(packed_row + (from + column));
                }
              }
              filter += filter_horizontal;
              from -= packed_horizontal;
            }
            filter_taps += filter_vertical;
            slot -= job.vertical_slot;
            if (slot < 0) slot += job.slots;
          }
        }
        if (__builtin_expect(job.epilogue != nullptr, 0)) {
          apply_epilogue(*job.epilogue, block, sums, 1);
        }
#pragma GCC unroll 16
        for (int x = 0; x < kColumns; ++x) {
          Finish<T>::vector(result + x * job.result_tile_stride, sums[0][x]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
