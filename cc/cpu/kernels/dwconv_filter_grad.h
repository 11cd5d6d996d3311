// The filter gradient, in short runs whose sums are added with compensation. The scalar loop of one
// run, for the channel of each lane, is
//
//   for r in the vertical taps, for k in the horizontal taps:
//     sum = 0
//     for row in the run's rows, for x in the tiles' columns:
//       if tap (r, k) links position (row, x) of out_backprop to a position inside the input:
//         sum += out_backprop[row][x] * input[row that r meets][column that k meets]
//     sums[r][k] += sum, and what rounding took from that is kept beside it
#pragma once

#include "cc/cpu/kernels/finish.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

// Adds `value` to `sum`; what rounding took from it goes to `lost`. (Knuth's TwoSum)
template <typename V>
inline void add(V value, V* sum, V* lost) {
  const V total = *sum + value;
  const V part = total - *sum;
  *lost += (*sum - (total - part)) + (value - part);
  *sum = total;
}

inline const char* prefetch_lines(const char* from, int64_t lines) {
  for (int64_t i = 0; i < lines; ++i, from += 64) __builtin_prefetch(from, 0, 2);
  return from;
}

// Holds the sums [vertical tap][horizontal tap] in registers for a whole run: a row of the input is
// read once for all horizontal taps. Where a tap reaches beyond the input it is left out, and not
// multiplied by zero: out_backprop may hold Inf or NaN there.
template <int kShift, int kTaps, typename T>
void dwconv_filter_grad(const FilterGradJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kRows = kFilterGradRows[kTaps - 1];
  constexpr int kColumns = kFilterGradColumns;
  constexpr int kHeld = (kColumns - 1) * kShift + kTaps;
  constexpr uint32_t kAll = (uint32_t{1} << kHeld) - 1;
  V sums[kRows][kTaps];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int k = 0; k < kTaps; ++k) sums[r][k] = V{};
  }
  const char* next_out = job.next_out;
  const char* next_source = job.next_source;
  for (int64_t y = 0; y < job.row_count; ++y) {
    const FilterGradRow& row = job.rows[y];
    const T* out_row_stride = job.out + row.out;
    for (int64_t t = 0; t < job.tile_count; ++t) {
      const FilterGradTile tile = job.tiles[t];
      const T* out = out_row_stride + tile.out;
      next_out = prefetch_lines(next_out, job.out_lines);
      next_source = prefetch_lines(next_source, job.source_lines);
      if (!tile.wide) {
        const V value = Lanes<T>::load(out);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          if ((row.inside >> r & 1) == 0) continue;
          const T* from = job.source + row.source[r] + tile.source;
#pragma GCC unroll 8
          for (int k = 0; k < kTaps; ++k, from += job.source_column_stride) {
            if ((tile.inside >> k & 1) == 0) continue;
            sums[r][k] += value * Lanes<T>::load(from);
          }
        }
        continue;
      }
      V values[kColumns];
#pragma GCC unroll 8
      for (int x = 0; x < kColumns; ++x)
        values[x] = Lanes<T>::load(out + x * job.out_column_stride);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        if ((row.inside >> r & 1) == 0) continue;
        const T* from = job.source + row.source[r] + tile.source;
        // What column j of the input has to do with the tile's columns and taps.
        const auto meet = [&](int j, V held) __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (int k = 0; k < kTaps; ++k) {
            const int x = (j - k) / kShift;
            if (j < k || x * kShift != j - k || x >= kColumns) continue;
            sums[r][k] += values[x] * held;
          }
        };
        if (tile.inside == kAll) {
#pragma GCC unroll 32
          for (int j = 0; j < kHeld; ++j, from += job.source_column_stride) {
            meet(j, Lanes<T>::load(from));
          }
        } else {
#pragma GCC unroll 32
          for (int j = 0; j < kHeld; ++j, from += job.source_column_stride) {
            if ((tile.inside >> j & 1) != 0) meet(j, Lanes<T>::load(from));
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (r >= job.sum_rows) break;
    Acc* to = job.sums + r * job.sum_row_stride;
#pragma GCC unroll 8
    for (int k = 0; k < kTaps; ++k, to += 2 * kLanes) {
      V sum = Lanes<Acc>::load(to), lost = Lanes<Acc>::load(to + kLanes);
      add(sums[r][k], &sum, &lost);
      Lanes<Acc>::store(to, sum);
      Lanes<Acc>::store(to + kLanes, lost);
    }
  }
}

// Adds the sums of images that share vectors to those of the first lanes, image by image.
template <typename Acc>
void reduce_images(const ReduceImagesJob<Acc>& job) {
  constexpr int kLanes = Lanes<Acc>::kCount;
  for (int64_t i = 0; i < job.count; ++i) {
    const Acc* from = job.from + i * 2 * kLanes;
    Acc* to = job.to + i * 2 * kLanes;
    for (int64_t image = 0; image < job.images; ++image) {
      for (int64_t c = 0; c < job.channels; ++c, ++from) {
        add(*from, &to[c], &to[kLanes + c]);
        to[kLanes + c] += from[kLanes];
      }
    }
  }
}

// Adds the sums of all parts, and rounds.
template <typename T>
void reduce_parts(const ReducePartsJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  for (int64_t channel_block = 0; channel_block < job.channel_blocks; ++channel_block) {
    const Acc* sums = job.sums + channel_block * job.sum_block_stride;
    T* result = job.result +
                (channel_block + 1 < job.channel_blocks ? channel_block * kLanes : job.last_block);
    for (int64_t tap = 0; tap < job.taps;
         ++tap, sums += 2 * kLanes, result += job.result_tap_stride) {
      V sum = Lanes<Acc>::load(sums), lost = Lanes<Acc>::load(sums + kLanes);
      for (int64_t part = 1; part < job.parts; ++part) {
        const Acc* from = sums + part * job.sum_part_stride;
        add(Lanes<Acc>::load(from), &sum, &lost);
        lost += Lanes<Acc>::load(from + kLanes);
      }
      // Beside an Inf or NaN nothing is lost that would be a number.
      const V total = sum + (lost - lost == V{} ? lost : V{});
      if (job.channels == kLanes) {
        Finish<T>::vector(result, total);
      } else {
        Acc lanes[kLanes];
        Lanes<Acc>::store(lanes, total);
        Finish<T>::first(result, lanes, job.channels);
      }
    }
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
