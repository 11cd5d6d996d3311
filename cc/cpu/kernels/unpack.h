// Unpack: rows of a write buffer, whose layout is a packed tile's (see jobs.h), to a tensor. The
// scalar loop is
//   for row, column, block, lane:
//     tensor[row, column, channel of the lane] = T(packed[block][row][column][lane])
#pragma once

#include "cc/cpu/kernels/finish.h"
#include "cc/cpu/kernels/pack.h"

namespace tf_dwbp::cpu {
namespace {

// Columns that are adjacent in memory, as with NCHW.
template <typename T>
inline void unpack_transposed(const PackJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const bool flat = job.row_stride == job.columns && job.packed_row_stride == job.columns * kLanes;
  const int64_t lines = flat ? 1 : job.rows;
  const int64_t length = flat ? job.rows * job.columns : job.columns;
  int64_t offsets[kLanes];
  for (int64_t block = 0; block < job.lanes.channel_blocks; ++block) {
    const int lanes = find_lanes(job, block, kLanes, offsets);
    for (int64_t line = 0; line < lines; ++line) {
      const Acc* from = job.packed + block * job.packed_block_stride + line * job.packed_row_stride;
      T* to = job.tensor + line * job.row_stride;
      int64_t i = 0;
      for (; i + kLanes <= length; i += kLanes, from += kLanes * kLanes) {
        Finish<T>::square(to + i, offsets, lanes, from);
      }
      for (; i < length; ++i, from += kLanes) Finish<T>::scattered(to + i, offsets, lanes, from);
    }
  }
}

// Channels that are adjacent in memory, as with NHWC.
template <typename T>
inline void unpack_adjacent(const PackJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  for (int64_t block = 0; block < map.channel_blocks; ++block) {
    for (int64_t row = 0; row < job.rows; ++row) {
      const Acc* from = job.packed + block * job.packed_block_stride + row * job.packed_row_stride;
      T* to = job.tensor + first_channel(job, block, kLanes) + row * job.row_stride;
      for (int64_t x = 0; x < job.columns; ++x, from += kLanes, to += job.column_stride) {
        if (map.channels == kLanes) {
          Finish<T>::vector(to, Lanes<Acc>::load(from));
        } else {
          Finish<T>::first(to, from, map.channels);  // GCOVR_EXCL_LINE: has no code of its own
        }
      }
    }
  }
}

// Pixels of fewer channels than a vector, without a gap between them: kPart lanes are stored all
// the same, and the next pixel overwrites what is too much.
template <int kPart, typename T>
inline void unpack_few(const PackJob<T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  // No store may pass the end of the row.
  const int64_t whole = job.columns - (kPart + map.channels - 1) / map.channels;
  for (int64_t row = 0; row < job.rows; ++row) {
    for (int64_t image = 0; image < map.images; ++image) {
      const Acc* from = job.packed + row * job.packed_row_stride + image * map.channels;
      T* to = job.tensor + row * job.row_stride + image * map.image_stride;
      int64_t x = 0;
      for (; x <= whole; ++x, from += kLanes, to += map.channels) {
        __builtin_prefetch(to + kCopyAheadBytes / sizeof(T), 1);
        Finish<T>::template part<kPart>(to, from);
      }
      for (; x < job.columns; ++x, from += kLanes, to += map.channels) {
        Finish<T>::first(to, from, map.channels);
      }
    }
  }
}

template <typename T>
void unpack(const PackJob<T>& job) {
  const bool full = job.lanes.images == 1 && job.lanes.channels == Lanes<T>::kCount;
  if (job.column_stride == 1 && !(full && job.lanes.channel_stride == 1)) {
    unpack_transposed<T>(job);
  } else if (job.lanes.channels < Lanes<T>::kCount && job.column_stride == job.lanes.channels) {
    constexpr int kLanes = Lanes<T>::kCount;
    if (job.lanes.channels <= kLanes / 4) return unpack_few<kLanes / 4, T>(job);
    if (job.lanes.channels <= kLanes / 2) return unpack_few<kLanes / 2, T>(job);
    unpack_few<kLanes, T>(job);
  } else {
    unpack_adjacent<T>(job);
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
