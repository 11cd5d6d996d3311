// Sums tiles of a result from a window. See kernels.h.
#pragma once

#include "cc/cpu/kernels.h"
#include "cc/cpu/simd.h"

namespace tf_dwbp::cpu {
namespace {

// A multiply-add takes one operand from memory, so that with the filter's vector loaded once for
// kColumns of them, loads and multiply-adds balance, and what a tap costs besides is shared by
// many. All steps of stride, dilation and multiplier are in the data: the loop is the same, but
// for whether the columns of a tile gather from columns of the window that are adjacent. Tiles
// at a border have some taps that do not reach all of their columns.
template <bool kAdjacent, int kColumns, typename T>
void sum(const SumJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr uint32_t kAll = (uint32_t{1} << kColumns) - 1;
  const int64_t filter_vertical = job.vertical_tap * job.filter_row;
  const int64_t filter_horizontal = job.horizontal_tap * kLanes;
  const int64_t window_horizontal = job.horizontal_column * kLanes;
  for (int64_t group = 0; group < job.groups; ++group) {
    const Acc* window_group = job.window + group * job.window_group;
    const Acc* filter_group = job.filter + group * job.filter_group;
    T* result_group =
        job.result + (group + 1 < job.groups ? group * job.result_group : job.result_last);
    for (int64_t r = 0; r < job.row_count; ++r) {
      const SumRow row = job.rows[r];
      T* result_row = result_group + r * job.result_row;
      for (int64_t t = 0; t < job.tile_count; ++t) {
        const SumTile tile = job.tiles[t];
        T* result = result_row + tile.column * job.result_column;
        V sums[kColumns];
#pragma GCC unroll 16
        for (int x = 0; x < kColumns; ++x) sums[x] = V{};
        if (job.accumulate) {
#pragma GCC unroll 16
          for (int x = 0; x < kColumns; ++x) {
            sums[x] = Lanes<T>::load(result + x * job.column_of_tile);
          }
        }
        const uint32_t* masks = tile.first_mask < 0 ? nullptr : job.masks + tile.first_mask;
        for (int64_t m = 0; m < job.multiplier; ++m) {
          const Acc* filter_taps = filter_group + m * job.filter_multiplier +
                                   row.taps.tap * job.filter_row + tile.taps.tap * kLanes;
          const Acc* window_rows = window_group + m * job.window_multiplier;
          int64_t slot = row.slot;
          for (int64_t y = 0; y < row.taps.count; ++y) {
            const Acc* filter = filter_taps;
            const Acc* window_row = window_rows + slot * job.window_row;
            // What the first column gathers from; where that is outside, before the row.
            int64_t from = tile.taps.source * kLanes;
            for (int64_t i = 0; i < tile.taps.count; ++i) {
              const V tap = Lanes<Acc>::load(filter);
              const uint32_t mask = masks == nullptr ? kAll : masks[i];
              if (mask == kAll) {
#pragma GCC unroll 16
                for (int x = 0; x < kColumns; ++x) {
                  const int64_t column = kAdjacent ? x * kLanes : x * job.window_of_tile;
                  sums[x] += tap * Lanes<Acc>::load(window_row + (from + column));
                }
              } else {
#pragma GCC unroll 16
                for (int x = 0; x < kColumns; ++x) {
                  const int64_t column = kAdjacent ? x * kLanes : x * job.window_of_tile;
                  if ((mask >> x & 1) == 0) continue;
                  sums[x] += tap * Lanes<Acc>::load(window_row + (from + column));
                }
              }
              filter += filter_horizontal;
              from -= window_horizontal;
            }
            filter_taps += filter_vertical;
            slot -= job.vertical_slot;
            if (slot < 0) slot += job.slots;
          }
        }
#pragma GCC unroll 16
        for (int x = 0; x < kColumns; ++x) {
          Lanes<T>::store(result + x * job.column_of_tile, sums[x]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
