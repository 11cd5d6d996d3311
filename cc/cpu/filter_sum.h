// Sums the filter's gradient, in short runs whose sums are added with compensation. See kernels.h.
#pragma once

#include "cc/cpu/kernels.h"
#include "cc/cpu/simd.h"

namespace tf_dwbp::cpu {
namespace {

// Of a wide tile, and vertical taps for 1, 2, ... horizontal ones: sums, and the columns of
// out_backprop that are held, have to fit the registers. Eight sums or more hide the latency.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kFilterColumns = 7;
constexpr int kFilterRows[kMostDirectTaps] = {7, 5, 3, 3, 3, 3, 3};
#else
constexpr int kFilterColumns = 4;
constexpr int kFilterRows[kMostDirectTaps] = {7, 4, 3, 2, 2, 1, 1};
#endif

// Adds `value` to `sum`; what rounding took from it goes to `lost`. (Knuth's TwoSum)
template <typename V>
inline void add(V value, V* sum, V* lost) {
  const V total = *sum + value;
  const V part = total - *sum;
  *lost += (*sum - (total - part)) + (value - part);
  *sum = total;
}

inline const char* ask(const char* from, int64_t lines) {
  for (int64_t i = 0; i < lines; ++i, from += 64) __builtin_prefetch(from, 0, 2);
  return from;
}

// Has the sums [vertical tap][horizontal tap] in registers for a whole run: a row of the input is
// read once for all horizontal taps. Where a tap reaches beyond the input it is left out, and not
// multiplied by zero: out_backprop may hold Inf or NaN there.
template <int kShift, int kTaps, typename T>
void filter_sum(const FilterSumJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kRows = kFilterRows[kTaps - 1];
  constexpr int kColumns = kFilterColumns;
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
    const FilterRow& row = job.rows[y];
    const T* out_row = job.out + row.out;
    for (int64_t t = 0; t < job.tile_count; ++t) {
      const FilterTile tile = job.tiles[t];
      const T* out = out_row + tile.out;
      next_out = ask(next_out, job.out_lines);
      next_source = ask(next_source, job.source_lines);
      if (!tile.wide) {
        const V value = Lanes<T>::load(out);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          if ((row.inside >> r & 1) == 0) continue;
          const T* from = job.source + row.source[r] + tile.source;
#pragma GCC unroll 8
          for (int k = 0; k < kTaps; ++k, from += job.source_column) {
            if ((tile.inside >> k & 1) == 0) continue;
            sums[r][k] += value * Lanes<T>::load(from);
          }
        }
        continue;
      }
      V values[kColumns];
#pragma GCC unroll 8
      for (int x = 0; x < kColumns; ++x) values[x] = Lanes<T>::load(out + x * job.out_column);
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
          for (int j = 0; j < kHeld; ++j, from += job.source_column) {
            meet(j, Lanes<T>::load(from));
          }
        } else {
#pragma GCC unroll 32
          for (int j = 0; j < kHeld; ++j, from += job.source_column) {
            if ((tile.inside >> j & 1) != 0) meet(j, Lanes<T>::load(from));
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (r >= job.sum_rows) break;
    Acc* to = job.sums + r * job.sum_row;
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
void filter_fold(const FilterFoldJob<Acc>& job) {
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
void filter_finish(const FilterFinishJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  for (int64_t group = 0; group < job.groups; ++group) {
    const Acc* sums = job.sums + group * job.sum_group;
    T* result = job.result + (group + 1 < job.groups ? group * kLanes : job.last);
    for (int64_t tap = 0; tap < job.taps; ++tap, sums += 2 * kLanes, result += job.result_tap) {
      V sum = Lanes<Acc>::load(sums), lost = Lanes<Acc>::load(sums + kLanes);
      for (int64_t part = 1; part < job.parts; ++part) {
        const Acc* from = sums + part * job.sum_part;
        add(Lanes<Acc>::load(from), &sum, &lost);
        lost += Lanes<Acc>::load(from + kLanes);
      }
      // Beside an Inf or NaN nothing is lost that would be a number.
      const V total = sum + (lost - lost == V{} ? lost : V{});
      if (job.channels == kLanes) {
        Lanes<T>::store(result, total);
      } else {
        for (int64_t c = 0; c < job.channels; ++c) write(&result[c], total[c]);
      }
    }
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
