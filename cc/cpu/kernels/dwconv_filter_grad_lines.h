// The filter gradient, lines at a time (see line_jobs.h). The scalar loop is
//
//   for v in the vectors of a line, for each of their lanes:
//     for e in the sources, ascending, for row in the rows, i in the vertical taps that link them:
//       for k in the horizontal taps:
//         if the lane's column gathers from inside through tap k:
//           sums[i][k][lane of v % sum_vectors] += out_backprop[row][lane] * source[e][lane, k]
#pragma once

#include "cc/cpu/kernels/dwconv_filter_grad.h"
#include "cc/cpu/kernels/line_jobs.h"
#include "cc/cpu/kernels/masks.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

// Where one vector of a tile's rows lies, and which lanes of it take part.
template <int kColumns, typename Acc>
struct LineVector {
  using V = typename Lanes<Acc>::Vector;
  const Acc* out;
  const Acc* source[kColumns];
  decltype(mask_of(V{}, 0)) mask[kColumns];

  // What each tap meets in a row of the source.
  inline __attribute__((always_inline)) void load(int64_t row, V (&held)[kColumns]) const {
#pragma GCC unroll 8
    for (int k = 0; k < kColumns; ++k) held[k] = Lanes<Acc>::load(source[k] + row);
  }

  // sums[k] += value * held[k]
  template <bool kWhole>
  inline __attribute__((always_inline)) void add(V value, const V (&held)[kColumns],
                                                 V (&sums)[kColumns]) const {
#pragma GCC unroll 8
    for (int k = 0; k < kColumns; ++k) {
      if constexpr (kWhole) {
        sums[k] += value * held[k];
      } else {
        add_in(mask[k], value, held[k], &sums[k]);
      }
    }
  }
};

// Adds a vector of kRows rows. A vector of either tensor is loaded once.
template <int kShift, int kTaps, int kColumns, int kRows, bool kWhole, typename Acc, typename V>
inline __attribute__((always_inline)) void add_tile(const FilterGradLinesJob<Acc>& job,
                                                    const LineVector<kColumns, Acc>& at,
                                                    V (&sums)[kTaps][kColumns]) {
  V values[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) values[r] = Lanes<Acc>::load(at.out + r * job.out_row_stride);
  uint32_t present = job.gather.present;
  // Or else the compiler keeps each bit in a place of its own, in memory.
  __asm__("" : "+r"(present));
#pragma GCC unroll 32
  for (int e = 0; e < (kRows - 1) * kShift + kTaps; ++e) {
    if ((present >> e & 1) == 0) continue;
    V held[kColumns];
    at.load(job.gather.sources[e], held);
#pragma GCC unroll 8
    for (int i = 0; i < kTaps; ++i) {
      const int shifted = e - (kTaps - 1) + i;
      if (shifted < 0 || shifted % kShift != 0 || shifted / kShift >= kRows) continue;
      at.template add<kWhole>(values[shifted / kShift], held, sums[i]);
    }
  }
}

// Adds a vector of any number of rows.
template <int kShift, int kTaps, int kColumns, bool kWhole, typename Acc, typename V>
inline __attribute__((always_inline)) void add_rows(const FilterGradLinesJob<Acc>& job,
                                                    const LineVector<kColumns, Acc>& at,
                                                    V (&sums)[kTaps][kColumns]) {
  const unsigned reach = static_cast<unsigned>(job.gather.rows) * kShift;
  for (uint32_t present = job.gather.present; present != 0; present &= present - 1) {
    const int e = __builtin_ctz(present);
    V held[kColumns];
    at.load(job.gather.sources[e], held);
#pragma GCC unroll 8
    for (int i = 0; i < kTaps; ++i) {
      const unsigned shifted = static_cast<unsigned>(e - (kTaps - 1) + i);
      if (shifted >= reach || shifted % kShift != 0) continue;
      const V value = Lanes<Acc>::load(at.out + shifted / kShift * job.out_row_stride);
      at.template add<kWhole>(value, held, sums[i]);
    }
  }
}

// Rows of most tiles: widths and heights that models have are multiples of one of them.
template <int kShift, int kTaps, int kColumns, bool kWhole, typename Acc, typename V>
inline __attribute__((always_inline)) void add_vector(const FilterGradLinesJob<Acc>& job,
                                                      const LineVector<kColumns, Acc>& at,
                                                      V (&sums)[kTaps][kColumns]) {
  if (job.gather.rows == 8) {
    add_tile<kShift, kTaps, kColumns, 8, kWhole>(job, at, sums);
  } else if (job.gather.rows == 7) {
    add_tile<kShift, kTaps, kColumns, 7, kWhole>(job, at, sums);
  } else {
    add_rows<kShift, kTaps, kColumns, kWhole>(job, at, sums);
  }
}

template <int kShift, int kTaps, int kColumns, typename Acc>
void dwconv_filter_grad_lines(const FilterGradLinesJob<Acc>& job) {
  using V = typename Lanes<Acc>::Vector;
  constexpr int kLanes = Lanes<Acc>::kCount;
  const LineGather<Acc>& gather = job.gather;
  if (gather.present == 0) return;
  for (int64_t residue = 0; residue < job.sum_vectors; ++residue) {
    V sums[kTaps][kColumns];
    Acc* to[kColumns];
#pragma GCC unroll 8
    for (int k = 0; k < kColumns; ++k) {
      to[k] =
          job.sums + gather.taps[job.first_tap + k].tap * job.sum_column_stride + residue * kLanes;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kTaps; ++i)
#pragma GCC unroll 8
      for (int k = 0; k < kColumns; ++k) {
        sums[i][k] = Lanes<Acc>::load(to[k] + i * job.sum_row_stride);
      }
    for (int64_t v = job.begin + residue; v < job.end; v += job.sum_vectors) {
      const bool whole = v >= gather.whole && v < gather.whole_end;
      const int64_t masked = v < gather.whole ? v : v - (gather.whole_end - gather.whole);
      LineVector<kColumns, Acc> at;
      at.out = job.out + v * kLanes;
#pragma GCC unroll 8
      for (int k = 0; k < kColumns; ++k) {
        at.source[k] = gather.source + gather.taps[job.first_tap + k].source + v * kLanes;
        const uint32_t bits =
            whole ? ~0u : gather.masks[masked * gather.tap_count + job.first_tap + k];
        at.mask[k] = mask_of(V{}, bits);
      }
      if (whole && !kMasksAreFree) {
        add_vector<kShift, kTaps, kColumns, true>(job, at, sums);
      } else {
        add_vector<kShift, kTaps, kColumns, false>(job, at, sums);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kTaps; ++i)
#pragma GCC unroll 8
      for (int k = 0; k < kColumns; ++k) {
        Lanes<Acc>::store(to[k] + i * job.sum_row_stride, sums[i][k]);
      }
  }
}

// The sum of kWidestVectorBytes of lanes, the upper half being added to the lower one again and
// again, which makes it the same for all instruction sets.
template <typename Acc>
inline Acc sum_of_lanes(const Acc* lanes) {
  using V = typename Lanes<Acc>::Vector;
  constexpr int kLanes = Lanes<Acc>::kCount;
  constexpr int kVectors = kWidestVectorBytes / kVectorBytes;
  V sums[kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kVectors; ++i) sums[i] = Lanes<Acc>::load(lanes + i * kLanes);
#pragma GCC unroll 4
  for (int half = kVectors / 2; half > 0; half /= 2)
#pragma GCC unroll 4
    for (int i = 0; i < half; ++i) sums[i] += sums[half + i];
#pragma GCC unroll 4
  for (int half = kLanes / 2; half > 0; half /= 2) {
    IndexOf<V> upper{};
#pragma GCC unroll 16
    for (int lane = 0; lane < half; ++lane) upper[lane] = half + lane;
    sums[0] += pick_at(sums[0], upper);
  }
  return sums[0][0];
}

// The scalar loop for one channel is
//
//   for tap in the filter's:
//     sum = the sum of sums[tap][lane] over the channel's lanes
//     filter[tap] += sum, and what rounding took from that is kept beside it
template <typename Acc>
void fold_lines(const FoldLinesJob<Acc>& job) {
  constexpr int kLanes = Lanes<Acc>::kCount;
  Acc* sums = job.sums;
  int64_t first = job.first;
  const auto add_to = [&](int64_t i, Acc sum) {
    Acc* const to = job.to + i / kLanes * 2 * kLanes + i % kLanes;
    add(sum, &to[0], &to[kLanes]);
  };
  for (int64_t tap = 0; tap < job.taps; ++tap, sums += job.lanes, first += job.tap_stride) {
    if (job.channels == 1) {
      add_to(first, sum_of_lanes(sums));
    } else {
      for (int64_t half = job.lanes / 2; half >= job.channels; half /= 2) {
        for (int64_t i = 0; i < half; ++i) sums[i] += sums[half + i];
      }
      for (int64_t c = 0; c < job.channels; ++c) add_to(first + c, sums[c]);
    }
    for (int64_t i = 0; i < job.lanes; i += kLanes)
      Lanes<Acc>::store(sums + i, typename Lanes<Acc>::Vector{});
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
