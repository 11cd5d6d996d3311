// The forward op and the input gradient straight from the source, where its channels are adjacent
// (NHWC) and the depth multiplier is 1. The scalar loop for one tile of one row of the result, for
// the channel of each lane, is
//
//   for x in the tile's columns:
//     sum = 0
//     for i in the source's rows that the row gathers from, the last first:
//       for k in the taps that meet columns inside the source, ascending:
//         sum += filter[tap of i][k] * source[row i][column of x, k]
//     result[x] = epilogue(sum)
//
// The micro-kernel takes two rows of the result at the same time, up to 7 columns, one channel
// block (a vector of channels) after the other.
#pragma once

#include "cc/cpu/kernels/finish.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

// Prefetches the lines of kBytes bytes, to be written if kWrite.
template <int kBytes, int kWrite>
inline void prefetch(const char* from) {
#pragma GCC unroll 16
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(from + i, kWrite, 2);
}

// Moves a tile from the write buffer to the result, pixel by pixel.
template <int kColumns, typename T>
inline void copy_write_buffer(const DirectJob<T>& job, const DirectTile& tile, int64_t first,
                              int64_t channels) {
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kElements = kVectorBytes / sizeof(T);
  const T* from = job.write_buffer;
  for (int r = 0; r < 2; ++r) {
    if (job.rows.result[r] == nullptr) continue;
    T* to = job.rows.result[r] + tile.result + first;
    for (int x = 0; x < kColumns;
         ++x, from += job.write_buffer_column_stride, to += job.result_column_stride) {
      if ((tile.write >> x & 1) == 0) continue;
      if (job.non_temporal) {
        for (int64_t c = 0; c < channels; c += kElements) {
          store_non_temporal(to + c, load_bits<FloatVector>(from + c));
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

// Adds what the two rows of a tile gather from the i-th row of the source, which is held in
// registers while all the tile's sums take from it what they need: each element is loaded, and
// widened, once for all horizontal taps and both rows. With kOthers, a tile has pairs of columns
// that gather from the same ones, the first of a pair through kTaps taps, the second through
// kOthers: those of a filter's row in turn. If kWhole, no column is outside; else those that are
// take no part.
template <int kShift, int kTaps, int kOthers, int kColumns, bool kWhole, typename T, typename V,
          int kResults>
inline __attribute__((always_inline)) void add_row(const DirectJob<T>& job, const DirectTile& tile,
                                                   int64_t i, const T* row,
                                                   const AccumulatorOf<T>* filter,
                                                   V (&sums)[2][kResults]) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kOfPair = kOthers > 0 ? 2 : 1;
  constexpr int kHeld = (kColumns - 1) * kShift + kTaps;
  const DirectRows<T>& rows = job.rows;
  V held[kHeld];
  const T* from = row;
#pragma GCC unroll 32
  for (int j = 0; j < kHeld; ++j, from += job.source_column_stride) {
    held[j] = kWhole || (tile.inside >> j & 1) != 0 ? Lanes<T>::load(from) : V{};
  }
#pragma GCC unroll 2
  for (int r = 0; r < 2; ++r) {
    if (i < rows.begin[r] || i >= rows.end[r]) continue;
    const Acc* taps = filter + rows.taps[r];
    if constexpr (!kWhole && kTaps <= 3) {
      // Few taps stay in registers, and then a column is prefetched once whether it is
      // inside. Sums take their taps in the same order as below.
      V tap[kTaps], other[kTaps];
#pragma GCC unroll 16
      for (int k = 0; k < kTaps; ++k)
        tap[k] = Lanes<Acc>::load(taps + k * job.filter_column_stride);
#pragma GCC unroll 16
      for (int k = 0; k < kOthers; ++k) {
        other[k] = Lanes<Acc>::load(taps + kLanes + k * job.filter_column_stride);
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
      const V tap = Lanes<Acc>::load(taps + k * job.filter_column_stride);
#pragma GCC unroll 16
      for (int x = 0; x < kColumns; ++x) {
        const int j = x * kShift - k + kTaps - 1;
        if (!kWhole && (tile.inside >> j & 1) == 0) continue;
        sums[r][x * kOfPair] += tap * held[j];
      }
    }
#pragma GCC unroll 16
    for (int k = 0; k < kOthers; ++k) {
      const V tap = Lanes<Acc>::load(taps + kLanes + k * job.filter_column_stride);
#pragma GCC unroll 16
      for (int x = 0; x < kColumns; ++x) {
        const int j = x * kShift - k + kTaps - 1;
        if (!kWhole && (tile.inside >> j & 1) == 0) continue;
        sums[r][x * kOfPair + 1] += tap * held[j];
      }
    }
  }
}

// In the place of a number of taps.
constexpr int kAnyTaps = 0;

// The same for kDirectLongSet taps that follow each other, from `filter` on, and the columns of the
// source that they meet, from `from` on. If not kFull, there may be only the first `count` taps,
// and only the columns in `inside`.
template <int kShift, int kColumns, bool kFull, typename T, typename V>
inline __attribute__((always_inline)) void add_long_set(const DirectJob<T>& job, int64_t i,
                                                        const T* from, uint64_t inside,
                                                        const AccumulatorOf<T>* filter,
                                                        int64_t count, V (&sums)[2][kColumns]) {
  using Acc = AccumulatorOf<T>;
  constexpr int kHeld = (kColumns - 1) * kShift + kDirectLongSet;
  const DirectRows<T>& rows = job.rows;
  V held[kHeld];
#pragma GCC unroll 32
  for (int j = 0; j < kHeld; ++j, from += job.source_column_stride) {
    held[j] = kFull || (inside >> j & 1) != 0 ? Lanes<T>::load(from) : V{};
  }
#pragma GCC unroll 2
  for (int r = 0; r < 2; ++r) {
    if (i < rows.begin[r] || i >= rows.end[r]) continue;
    const Acc* taps = filter + rows.taps[r];
    V tap[kDirectLongSet];
#pragma GCC unroll 4
    for (int k = 0; k < kDirectLongSet; ++k) {
      tap[k] = kFull || k < count ? Lanes<Acc>::load(taps + k * job.filter_column_stride) : V{};
    }
    // Taps ascend for each sum.
#pragma GCC unroll 32
    for (int j = kHeld - 1; j >= 0; --j) {
      if (!kFull && (inside >> j & 1) == 0) continue;
#pragma GCC unroll 16
      for (int x = 0; x < kColumns; ++x) {
        const int k = x * kShift + kDirectLongSet - 1 - j;
        if (k < 0 || k >= kDirectLongSet || (!kFull && k >= count)) continue;
        sums[r][x] += tap[k] * held[j];
      }
    }
  }
}

// The same for any number of taps, a set after the other.
template <int kShift, int kColumns, typename T, typename V>
inline __attribute__((always_inline)) void add_long_row(const DirectJob<T>& job,
                                                        const DirectTile& tile, int64_t i,
                                                        const T* row,
                                                        const AccumulatorOf<T>* filter,
                                                        V (&sums)[2][kColumns]) {
  constexpr int kHeld = (kColumns - 1) * kShift + kDirectLongSet;
  constexpr uint64_t kAll = (uint64_t{1} << kHeld) - 1;
  for (int64_t first = 0; first < job.taps; first += kDirectLongSet) {
    // Taps fall from column to column: a set's last one meets the first of its columns. Of a set
    // that is not full the first columns are not the tile's.
    const int64_t column = job.taps - first - kDirectLongSet;
    const uint64_t inside = column < 0 ? tile.inside << -column : tile.inside >> column;
    const T* from = row + column * job.source_column_stride;
    const int64_t count = column < 0 ? kDirectLongSet + column : kDirectLongSet;
    if (count == kDirectLongSet && (inside & kAll) == kAll) {
      add_long_set<kShift, kColumns, true>(job, i, from, inside, filter, count, sums);
    } else if ((inside & kAll) != 0) {
      add_long_set<kShift, kColumns, false>(job, i, from, inside, filter, count, sums);
    }
    filter += kDirectLongSet * job.filter_column_stride;
  }
}

// Computes a tile, by add_row or, if kTaps is kAnyTaps, by add_long_row.
template <int kShift, int kTaps, int kOthers, int kColumns, bool kWhole, typename T>
inline __attribute__((always_inline)) void direct_tile(const DirectJob<T>& job,
                                                       const DirectTile& tile,
                                                       int64_t* prefetched) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kOfPair = kOthers > 0 ? 2 : 1;
  constexpr int kResults = kColumns * kOfPair;
  constexpr int kBytes = kColumns * kLanes * sizeof(T);
  const DirectRows<T>& rows = job.rows;
  const bool buffered = job.write_buffer != nullptr;
  const int64_t block = buffered ? kWriteBufferBlocks : job.channel_blocks;
  const int64_t column = buffered ? job.write_buffer_column_stride : job.result_column_stride;
  for (int64_t first = 0; first < job.channel_blocks; first += block) {
    const int64_t end = first + block < job.channel_blocks ? first + block : job.channel_blocks;
    const int64_t first_channel = first + 1 < job.channel_blocks ? first * kLanes : job.last_block;
    const int64_t step = job.downwards ? -1 : 1;
    int64_t channel_block = job.downwards ? end - 1 : first;
    for (int64_t n = first; n < end; ++n, channel_block += step) {
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        if (job.next_result[r] == nullptr) continue;
        prefetch<kBytes * kOfPair, 1>(job.next_result[r] + *prefetched * kOfPair);
      }
      const int64_t channel =
          channel_block + 1 < job.channel_blocks ? channel_block * kLanes : job.last_block;
      const T* row = rows.source + tile.source + channel;
      const Acc* filter = job.filter + channel_block * job.filter_block_stride;
      V sums[2][kResults];
#pragma GCC unroll 16
      for (int x = 0; x < kResults; ++x) sums[0][x] = sums[1][x] = V{};
      for (int64_t i = 0; i < rows.count; ++i) {
        // One row at a time: many at once would wait for each other.
        if (i < 2 * kShift && job.next_source[i] != nullptr) {
          prefetch<kBytes * kShift, 0>(job.next_source[i] + *prefetched * kShift);
        }
        if constexpr (kTaps == kAnyTaps) {
          add_long_row<kShift, kColumns>(job, tile, i, row, filter, sums);
        } else {
          add_row<kShift, kTaps, kOthers, kColumns, kWhole>(job, tile, i, row, filter, sums);
        }
        row -= rows.source_row_stride;
        filter += rows.taps_row_stride;
      }
      if constexpr (kOthers == 0) {  // pairs are the input gradient's alone
        if (__builtin_expect(job.epilogue != nullptr, 0)) {
          apply_epilogue(*job.epilogue, channel_block, sums, rows.result[1] == nullptr ? 1 : 2);
        }
      }
      *prefetched += kBytes;
      T* write_buffer = job.write_buffer + (channel - first_channel);
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        if (rows.result[r] == nullptr) continue;
        T* to = buffered ? write_buffer : rows.result[r] + tile.result + channel;
#pragma GCC unroll 16
        for (int x = 0; x < kResults; ++x, to += column) {
          if (!kWhole && !buffered && (tile.write >> x & 1) == 0) continue;
          Finish<T>::vector(to, sums[r][x]);
        }
        write_buffer += kResults * column;
      }
    }
    if (buffered) {
      const int64_t last_channel = end < job.channel_blocks ? (end - 1) * kLanes : job.last_block;
      copy_write_buffer<kResults>(job, tile, first_channel, last_channel + kLanes - first_channel);
    }
  }
}

template <int kShift, int kTaps, int kOthers, int kColumns, typename T>
void dwconv_direct(const DirectJob<T>& given) {
  constexpr int kHeld = (kColumns - 1) * kShift + kTaps;
  constexpr int kResults = kColumns * (kOthers > 0 ? 2 : 1);
  constexpr uint64_t kAll = (uint64_t{1} << kHeld) - 1;
  const DirectJob<T> job = given;  // which stores can't change
  int64_t prefetched = 0;
  for (int64_t t = 0; t < job.tile_count; ++t) {
    const DirectTile tile = job.tiles[t];
    // Of any number of taps, each set asks what is inside.
    if (kTaps != kAnyTaps && tile.inside == kAll && tile.write == (uint32_t{1} << kResults) - 1) {
      direct_tile<kShift, kTaps, kOthers, kColumns, kTaps != kAnyTaps>(job, tile, &prefetched);
    } else {
      direct_tile<kShift, kTaps, kOthers, kColumns, false>(job, tile, &prefetched);
    }
  }
  if (job.non_temporal) fence_non_temporal();
}

}  // namespace
}  // namespace tf_dwbp::cpu
