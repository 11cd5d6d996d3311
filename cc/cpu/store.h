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
        for (int lane = 0; lane < lanes; ++lane)
          Lanes<T>::store(to + offsets[lane] + i, square[lane]);
      }
      for (; i < length; ++i, from += kLanes) {
        for (int lane = 0; lane < lanes; ++lane)
          to[offsets[lane] + i] = Lanes<T>::narrow(from[lane]);
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
  // Where pixels are less than a vector, whole vectors are stored all the same: the next pixel
  // overwrites what is too much. No store may pass the end of the row.
  const bool few = map.channels < kLanes;
  const bool whole = !few || job.column_step == map.channels;
  for (int64_t g = 0; g < map.groups; ++g) {
    for (int64_t row = 0; row < job.rows; ++row) {
      for (int64_t image = 0; image < map.images; ++image) {
        const Acc* from =
            job.window + g * job.window_group + row * job.window_row + image * map.channels;
        T* to = job.tensor + first_channel(job, g, kLanes) + row * job.row_step +
                image * map.image_step;
        int64_t x = 0;
        for (; whole && x + few < job.columns; ++x) {
          if (few && (job.columns - x) * job.column_step < kLanes) break;
          Lanes<T>::store(to, Lanes<Acc>::load(from));
          from += kLanes;
          to += job.column_step;
        }
        for (; x < job.columns; ++x, from += kLanes, to += job.column_step) {
          for (int64_t c = 0; c < map.channels; ++c) to[c] = Lanes<T>::narrow(from[c]);
        }
      }
    }
  }
}

template <typename T>
void store(const CopyJob<T>& job) {
  const bool full = job.lanes.images == 1 && job.lanes.channels == Lanes<T>::kCount;
  if (job.column_step == 1 && !(full && job.lanes.channel_step == 1)) {
    store_transposed<T>(job);
  } else {
    store_adjacent<T>(job);
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
