// Sums tiles straight from the source, where its channels are adjacent. See kernels.h.
#pragma once

#include "cc/cpu/kernels.h"
#include "cc/cpu/simd.h"

namespace tf_dwbp::cpu {
namespace {

// Asks for the lines of `bytes` bytes, to be written if kWrite.
template <int kBytes, int kWrite>
inline void prefetch(const char* from) {
#pragma GCC unroll 16
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(from + i, kWrite, 2);
}

// Moves what tiles have summed from the stage to the result, pixel by pixel.
template <int kColumns, typename T>
inline void unstage(const DirectJob<T>& job, const DirectTile& tile, int64_t first,
                    int64_t channels) {
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kElements = kVectorBytes / sizeof(T);
  const T* from = job.stage;
  for (int r = 0; r < 2; ++r) {
    if (job.rows.result[r] == nullptr) continue;
    T* to = job.rows.result[r] + tile.result + first;
    for (int x = 0; x < kColumns; ++x, from += job.stage_column, to += job.result_column) {
      if ((tile.write >> x & 1) == 0) continue;
      if (job.stream) {
        for (int64_t c = 0; c < channels; c += kElements) {
          stream_bits(to + c, load_bits<FloatVector>(from + c));
        }
        continue;
      }
      for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t at = c + kLanes <= channels ? c : channels - kLanes;
        store_bits(to + at, load_bits<RawVector<kLanes * sizeof(T)>>(from + at));
      }
    }
  }
}

// One row of the source is held in registers while all the tile's sums take from it what they
// need: each element is loaded, and widened, once for all horizontal taps and both rows. With
// kOthers, a tile has pairs of columns that gather from the same ones, the first of a pair through
// kTaps taps, the second through kOthers: those of a filter's row in turn. If kWhole, no column is
// outside; else those that are take no part.
template <int kShift, int kTaps, int kOthers, int kColumns, bool kWhole, typename T>
inline __attribute__((always_inline)) void direct_tile(const DirectJob<T>& job,
                                                       const DirectTile& tile, int64_t* asked) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kOfPair = kOthers > 0 ? 2 : 1;
  constexpr int kResults = kColumns * kOfPair;
  constexpr int kHeld = (kColumns - 1) * kShift + kTaps;
  constexpr int kBytes = kColumns * kLanes * sizeof(T);
  const DirectRows<T>& rows = job.rows;
  const bool staged = job.stage != nullptr;
  const int64_t block = staged ? kStageGroups : job.groups;
  const int64_t column = staged ? job.stage_column : job.result_column;
  for (int64_t first = 0; first < job.groups; first += block) {
    const int64_t end = first + block < job.groups ? first + block : job.groups;
    const int64_t first_channel = first + 1 < job.groups ? first * kLanes : job.last;
    const int64_t step = job.downwards ? -1 : 1;
    int64_t group = job.downwards ? end - 1 : first;
    for (int64_t n = first; n < end; ++n, group += step) {
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        if (job.next_result[r] == nullptr) continue;
        prefetch<kBytes * kOfPair, 1>(job.next_result[r] + *asked * kOfPair);
      }
      const int64_t channel = group + 1 < job.groups ? group * kLanes : job.last;
      const T* row = rows.source + tile.source + channel;
      const Acc* filter = job.filter + group * job.filter_group;
      V sums[2][kResults];
#pragma GCC unroll 16
      for (int x = 0; x < kResults; ++x) sums[0][x] = sums[1][x] = V{};
      for (int64_t i = 0; i < rows.count; ++i) {
        // One row at a time: many at once would wait for each other.
        if (i < 2 * kShift && job.next_source[i] != nullptr) {
          prefetch<kBytes * kShift, 0>(job.next_source[i] + *asked * kShift);
        }
        V held[kHeld];
        const T* from = row;
#pragma GCC unroll 32
        for (int j = 0; j < kHeld; ++j, from += job.source_column) {
          held[j] = kWhole || (tile.inside >> j & 1) != 0 ? Lanes<T>::load(from) : V{};
        }
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r) {
          if (i < rows.begin[r] || i >= rows.end[r]) continue;
          const Acc* taps = filter + rows.taps[r];
          if constexpr (!kWhole && kTaps <= 3) {
            // Few taps stay in registers, and then a column is asked once whether it is inside.
            // Sums take their taps in the same order as below.
            V tap[kTaps], other[kTaps];
#pragma GCC unroll 16
            for (int k = 0; k < kTaps; ++k) tap[k] = Lanes<Acc>::load(taps + k * job.filter_column);
#pragma GCC unroll 16
            for (int k = 0; k < kOthers; ++k) {
              other[k] = Lanes<Acc>::load(taps + kLanes + k * job.filter_column);
            }
#pragma GCC unroll 32
            for (int j = kHeld - 1; j >= 0; --j) {
              if ((tile.inside >> j & 1) == 0) continue;
#pragma GCC unroll 16
              for (int x = 0; x < kColumns; ++x) {
                const int k = x * kShift + kTaps - 1 - j;
                if (k < 0 || k >= kTaps) continue;
                sums[r][x * kOfPair] += tap[k] * held[j];
                if (k < kOthers) sums[r][x * kOfPair + 1] += other[k] * held[j];
              }
            }
            continue;
          }
#pragma GCC unroll 16
          for (int k = 0; k < kTaps; ++k) {
            const V tap = Lanes<Acc>::load(taps + k * job.filter_column);
#pragma GCC unroll 16
            for (int x = 0; x < kColumns; ++x) {
              const int j = x * kShift - k + kTaps - 1;
              if (!kWhole && (tile.inside >> j & 1) == 0) continue;
              sums[r][x * kOfPair] += tap * held[j];
            }
          }
#pragma GCC unroll 16
          for (int k = 0; k < kOthers; ++k) {
            const V tap = Lanes<Acc>::load(taps + kLanes + k * job.filter_column);
#pragma GCC unroll 16
            for (int x = 0; x < kColumns; ++x) {
              const int j = x * kShift - k + kTaps - 1;
              if (!kWhole && (tile.inside >> j & 1) == 0) continue;
              sums[r][x * kOfPair + 1] += tap * held[j];
            }
          }
        }
        row -= rows.source_step;
        filter += rows.taps_step;
      }
      *asked += kBytes;
      T* stage = job.stage + (channel - first_channel);
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        if (rows.result[r] == nullptr) continue;
        T* to = staged ? stage : rows.result[r] + tile.result + channel;
#pragma GCC unroll 16
        for (int x = 0; x < kResults; ++x, to += column) {
          if (!kWhole && !staged && (tile.write >> x & 1) == 0) continue;
          Lanes<T>::store(to, sums[r][x]);
        }
        stage += kResults * column;
      }
    }
    if (staged) {
      const int64_t last_channel = end < job.groups ? (end - 1) * kLanes : job.last;
      unstage<kResults>(job, tile, first_channel, last_channel + kLanes - first_channel);
    }
  }
}

template <int kShift, int kTaps, int kOthers, int kColumns, typename T>
void direct(const DirectJob<T>& given) {
  constexpr int kHeld = (kColumns - 1) * kShift + kTaps;
  constexpr int kResults = kColumns * (kOthers > 0 ? 2 : 1);
  const DirectJob<T> job = given;  // which stores can't change
  int64_t asked = 0;
  for (int64_t t = 0; t < job.tile_count; ++t) {
    const DirectTile tile = job.tiles[t];
    if (tile.inside == (uint32_t{1} << kHeld) - 1 && tile.write == (uint32_t{1} << kResults) - 1) {
      direct_tile<kShift, kTaps, kOthers, kColumns, true>(job, tile, &asked);
    } else {
      direct_tile<kShift, kTaps, kOthers, kColumns, false>(job, tile, &asked);
    }
  }
  if (job.stream) end_stream();
}

}  // namespace
}  // namespace tf_dwbp::cpu
