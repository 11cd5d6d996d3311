// Copies rows of a window into a tensor, rounding to its type. See kernels.h.
#pragma once

#include "cc/cpu/load.h"

namespace tf_dwbp::cpu {
namespace {

// Columns that are adjacent in memory, as with NCHW.
template <typename T>
inline void store_transposed(const CopyJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  const bool flat = job.row_step == job.columns && job.window_row == job.columns * kLanes;
  const int64_t lines = flat ? 1 : job.rows;
  const int64_t length = flat ? job.rows * job.columns : job.columns;
  int64_t offsets[kLanes];
  for (int64_t g = 0; g < job.lanes.groups; ++g) {
    const int lanes = find_lanes(job, g, kLanes, offsets);
    for (int64_t line = 0; line < lines; ++line) {
      const Acc* from = job.window + g * job.window_group + line * job.window_row;
      T* to = job.tensor + line * job.row_step;
      int64_t i = 0;
      for (; i + kLanes <= length; i += kLanes, from += kLanes * kLanes) {
        V square[kLanes];
#pragma GCC unroll 16
        for (int x = 0; x < kLanes; ++x) square[x] = Lanes<Acc>::load(from + x * kLanes);
        transpose<kLanes>(square);
        for (int lane = 0; lane < lanes; ++lane) {
          Lanes<T>::store(to + offsets[lane] + i, square[lane]);
          __builtin_prefetch(to + offsets[lane] + i + kAhead / sizeof(T), 1);
        }
      }
      for (; i < length; ++i, from += kLanes) {
        for (int lane = 0; lane < lanes; ++lane) write(&to[offsets[lane] + i], from[lane]);
      }
    }
  }
}

// Channels that are adjacent in memory, as with NHWC.
template <typename T>
inline void store_adjacent(const CopyJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  for (int64_t g = 0; g < map.groups; ++g) {
    for (int64_t row = 0; row < job.rows; ++row) {
      const Acc* from = job.window + g * job.window_group + row * job.window_row;
      T* to = job.tensor + first_channel(job, g, kLanes) + row * job.row_step;
      for (int64_t x = 0; x < job.columns; ++x, from += kLanes, to += job.column_step) {
        if (map.channels == kLanes) {
          Lanes<T>::store(to, Lanes<Acc>::load(from));
        } else {
          for (int64_t c = 0; c < map.channels; ++c) write(&to[c], from[c]);
        }
      }
    }
  }
}

// Pixels of fewer channels than a vector, without a gap between them: kPart lanes are stored all
// the same, and the next pixel overwrites what is too much.
template <int kPart, typename T>
inline void store_few(const CopyJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  // No store may pass the end of the row.
  const int64_t whole = job.columns - (kPart + map.channels - 1) / map.channels;
  for (int64_t row = 0; row < job.rows; ++row) {
    for (int64_t image = 0; image < map.images; ++image) {
      const Acc* from = job.window + row * job.window_row + image * map.channels;
      T* to = job.tensor + row * job.row_step + image * map.image_step;
      int64_t x = 0;
      for (; x <= whole; ++x, from += kLanes, to += map.channels) {
        __builtin_prefetch(to + kAhead / sizeof(T), 1);
        if constexpr (sizeof(T) == sizeof(Acc)) {
          __builtin_memcpy(to, from, kPart * sizeof(T));
        } else {
          T narrow[kLanes];
          Lanes<T>::store(narrow, Lanes<Acc>::load(from));
          __builtin_memcpy(to, narrow, kPart * sizeof(T));
        }
      }
      for (; x < job.columns; ++x, from += kLanes, to += map.channels) {
        for (int64_t c = 0; c < map.channels; ++c) write(&to[c], from[c]);
      }
    }
  }
}

template <typename T>
void store(const CopyJob<T>& job) {
  const bool full = job.lanes.images == 1 && job.lanes.channels == Lanes<T>::kCount;
  if (job.column_step == 1 && !(full && job.lanes.channel_step == 1)) {
    store_transposed<T>(job);
  } else if (job.lanes.channels < Lanes<T>::kCount && job.column_step == job.lanes.channels) {
    constexpr int kLanes = Lanes<T>::kCount;
    if (job.lanes.channels <= kLanes / 4) return store_few<kLanes / 4, T>(job);
    if (job.lanes.channels <= kLanes / 2) return store_few<kLanes / 2, T>(job);
    store_few<kLanes, T>(job);
  } else {
    store_adjacent<T>(job);
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
