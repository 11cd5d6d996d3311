// Pack: rows of a tensor to a packed tile (see jobs.h), widened to the accumulator's type. The
// scalar loop is
//   for row, column, block, m, lane:
//     packed[block][m][slot of row][column][lane] = tensor[row, column, channel of the lane, m]
#pragma once

#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

// Walks through the slots of a packed tile's ring.
template <typename Job>
struct Slots {
  explicit Slots(const Job& job) : job(job), slot(job.first_slot) {}
  int64_t row() const { return slot * job.packed_row_stride; }
  void next() { slot = slot + 1 == job.slots ? 0 : slot + 1; }

  const Job& job;
  int64_t slot;
};

// The first of a block's channels, as the packed tile counts them.
template <typename Job>
inline int64_t first_channel(const Job& job, int64_t channel_block, int64_t lanes) {
  return channel_block + 1 < job.lanes.channel_blocks ? channel_block * lanes
                                                      : job.lanes.last_block;
}

// Where the lanes of a block begin.
template <typename Job>
inline int find_lanes(const Job& job, int64_t channel_block, int64_t lanes, int64_t* offsets) {
  const LaneMap& map = job.lanes;
  const int64_t first = map.skipped_repeats + first_channel(job, channel_block, lanes);
  int lane = 0;
  for (int64_t image = 0; image < map.images; ++image) {
    for (int64_t c = 0; c < map.channels; ++c) {
      const int64_t channel = map.repeat == 1 ? first + c : (first + c) / map.repeat;
      offsets[lane++] = image * map.image_stride + channel * map.channel_stride;
    }
  }
  return lane;
}

// Lanes that are adjacent in memory, as with NHWC.
template <typename T>
inline void pack_adjacent(const PackJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  Slots slots(job);
  for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
    const T* from = job.tensor + row * job.row_stride;
    Acc* to = job.packed + slots.row();
    for (int64_t x = 0; x < job.columns; ++x, from += job.column_stride, to += kLanes) {
      for (int64_t block = 0; block + 1 < job.lanes.channel_blocks; ++block) {
        Lanes<Acc>::store(to + block * job.packed_block_stride,
                          Lanes<T>::load(from + block * kLanes));
      }
      Lanes<Acc>::store(to + (job.lanes.channel_blocks - 1) * job.packed_block_stride,
                        Lanes<T>::load(from + job.lanes.last_block));
    }
  }
}

// NHWC with a depth multiplier that is a small power of two: each vector of lanes is spread over
// kMultiplier vectors.
template <int kMultiplier, typename T>
inline void pack_interleaved(const PackJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  Slots slots(job);
  for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
    for (int64_t block = 0; block < job.lanes.channel_blocks; ++block) {
      const T* from =
          job.tensor + row * job.row_stride + first_channel(job, block, kLanes) * kMultiplier;
      Acc* to = job.packed + block * job.packed_block_stride + slots.row();
      for (int64_t x = 0; x < job.columns; ++x, from += job.column_stride, to += kLanes) {
        V a[kMultiplier], b[kMultiplier];
#pragma GCC unroll 8
        for (int i = 0; i < kMultiplier; ++i) a[i] = Lanes<T>::load(from + i * kLanes);
        // Each step sorts by one bit of m, from the lowest.
#pragma GCC unroll 8
        for (int step = 1; step < kMultiplier; step *= 2) {
#pragma GCC unroll 8
          for (int i = 0; i < kMultiplier / 2; ++i) {
            b[i] = evens<kLanes>(a[2 * i], a[2 * i + 1]);
            b[i + kMultiplier / 2] = odds<kLanes>(a[2 * i], a[2 * i + 1]);
          }
#pragma GCC unroll 8
          for (int i = 0; i < kMultiplier; ++i) a[i] = b[i];
        }
#pragma GCC unroll 8
        for (int m = 0; m < kMultiplier; ++m) {
          Lanes<Acc>::store(to + m * job.packed_multiplier_stride, a[m]);
        }
      }
    }
  }
}

// Columns that are adjacent in memory, as with NCHW: squares of lanes x columns are transposed.
template <typename T>
inline void pack_transposed(const PackJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  // Rows that follow each other without a gap are one long row.
  const bool flat = job.row_stride == job.columns;
  const int64_t lines = flat ? 1 : job.rows;
  const int64_t length = flat ? job.rows * job.columns : job.columns;
  int64_t offsets[kLanes];
  for (int64_t block = 0; block < job.lanes.channel_blocks; ++block) {
    const int lanes = find_lanes(job, block, kLanes, offsets);
    for (int64_t m = 0; m < job.multiplier; ++m) {
      Acc* tile = job.packed + block * job.packed_block_stride + m * job.packed_multiplier_stride;
      Slots slots(job);
      for (int64_t line = 0; line < lines; ++line) {
        const T* from = job.tensor + m * job.multiplier_stride + line * job.row_stride;
        Acc* to = tile + slots.row();
        int64_t column = 0;
        const auto next = [&] {
          to += kLanes;
          if (++column == job.columns) {
            column = 0;
            slots.next();
            to = tile + slots.row();
          }
        };
        int64_t i = 0;
        for (; i + kLanes <= length; i += kLanes) {
          V square[kLanes];
#pragma GCC unroll 16
          for (int lane = 0; lane < kLanes; ++lane) {
            // Idle lanes repeat one that is there.
            const T* plane = from + offsets[lane < lanes ? lane : 0] + i;
            square[lane] = Lanes<T>::load(plane);
            __builtin_prefetch(plane + kCopyAheadBytes / sizeof(T));
          }
          transpose<kLanes>(square);
          if (column + kLanes <= job.columns) {
#pragma GCC unroll 16
            for (int x = 0; x < kLanes; ++x) Lanes<Acc>::store(to + x * kLanes, square[x]);
            column += kLanes - 1;
            to += (kLanes - 1) * kLanes;
            next();
          } else {
            for (int x = 0; x < kLanes; ++x) {
              Lanes<Acc>::store(to, square[x]);
              next();
            }
          }
        }
        for (; i < length; ++i) {
          for (int lane = 0; lane < lanes; ++lane) {
            to[lane] = read(&from[offsets[lane] + i]);
          }
          next();
        }
      }
    }
  }
}

// Few channels, NHWC: pixels are copied as kPart lanes, and those that are too many are
// overwritten by the next image or column.
template <int kPart, typename T>
inline void pack_few(const PackJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  const int64_t channels = map.channels;
  Slots slots(job);
  for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
    const T* from = job.tensor + row * job.row_stride;
    Acc* to = job.packed + slots.row();
    // Neither a read nor a write may pass the end of the row, its last pixel's last channel:
    // columns may be several pixels apart.
    int64_t x = 0;
    for (; (job.columns - 1 - x) * job.column_stride + channels >= kLanes && x + 1 < job.columns;
         ++x) {
      for (int64_t image = 0; image < map.images; ++image) {
        __builtin_prefetch(from + image * map.image_stride + kCopyAheadBytes / sizeof(T));
        if constexpr (sizeof(T) == sizeof(Acc)) {
          __builtin_memcpy(to + image * channels, from + image * map.image_stride,
                           kPart * sizeof(T));
        } else {
          const auto pixel = Lanes<T>::load(from + image * map.image_stride);
          __builtin_memcpy(to + image * channels, &pixel, kPart * sizeof(Acc));
        }
      }
      from += job.column_stride;
      to += kLanes;
    }
    for (; x < job.columns; ++x) {
      for (int64_t image = 0; image < map.images; ++image) {
        for (int64_t c = 0; c < channels; ++c) {
          to[image * channels + c] = read(&from[image * map.image_stride + c]);
        }
      }
      from += job.column_stride;
      to += kLanes;
    }
  }
}

// NHWC, each channel repeated: one shuffle spreads those that a vector has.
template <typename T>
inline void pack_repeated(const PackJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  using Index = IndexOf<typename Lanes<T>::Vector>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  for (int64_t block = 0; block < map.channel_blocks; ++block) {
    const int64_t first = map.skipped_repeats + first_channel(job, block, kLanes);
    const int64_t channel = first / map.repeat;
    const int64_t channels = (first + kLanes - 1) / map.repeat - channel + 1;
    Index index{};
    for (int lane = 0; lane < kLanes; ++lane) index[lane] = (first + lane) / map.repeat - channel;
    Slots slots(job);
    for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
      const T* from = job.tensor + row * job.row_stride + channel;
      Acc* to = job.packed + block * job.packed_block_stride + slots.row();
      // A vector may reach into the next pixels, but no further than the last of the row.
      const int64_t beyond = kLanes - channels;
      int64_t x = 0;
      for (; x + 1 < job.columns && (job.columns - 1 - x) * job.column_stride >= beyond; ++x) {
        Lanes<Acc>::store(to, pick_at(Lanes<T>::load(from), index));
        from += job.column_stride;
        to += kLanes;
      }
      for (; x < job.columns; ++x, from += job.column_stride, to += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) to[lane] = read(&from[index[lane]]);
      }
    }
  }
}

// Everything else.
template <typename T>
inline void pack_one_by_one(const PackJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  int64_t offsets[kLanes];
  for (int64_t block = 0; block < job.lanes.channel_blocks; ++block) {
    const int lanes = find_lanes(job, block, kLanes, offsets);
    Slots slots(job);
    for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
      for (int64_t m = 0; m < job.multiplier; ++m) {
        const T* from = job.tensor + row * job.row_stride + m * job.multiplier_stride;
        Acc* to = job.packed + block * job.packed_block_stride + m * job.packed_multiplier_stride +
                  slots.row();
        for (int64_t x = 0; x < job.columns; ++x, from += job.column_stride, to += kLanes) {
          for (int lane = 0; lane < lanes; ++lane) to[lane] = read(&from[offsets[lane]]);
        }
      }
    }
  }
}

template <typename T>
void pack(const PackJob<const T>& job) {
  const LaneMap& map = job.lanes;
  const bool full = map.images == 1 && map.channels == Lanes<T>::kCount;
  if (map.repeat > 1) {
    if (job.column_stride == 1) return pack_transposed<T>(job);
    if (full && map.channel_stride == 1 && job.column_stride > 0) return pack_repeated<T>(job);
    return pack_one_by_one<T>(job);
  }
  if (full && map.channel_stride == 1 && job.multiplier == 1) return pack_adjacent<T>(job);
  if (job.column_stride == 1) return pack_transposed<T>(job);
  if (map.channel_stride == 1 && job.multiplier == 1) {
    constexpr int kLanes = Lanes<T>::kCount;
    if (map.channels <= kLanes / 4) return pack_few<kLanes / 4, T>(job);
    if (map.channels <= kLanes / 2) return pack_few<kLanes / 2, T>(job);
    return pack_few<kLanes, T>(job);
  }
  if (full && job.multiplier_stride == 1 && map.channel_stride == job.multiplier) {
    if (job.multiplier == 2) return pack_interleaved<2, T>(job);
    if (job.multiplier == 4) return pack_interleaved<4, T>(job);
  }
  pack_one_by_one<T>(job);
}

}  // namespace
}  // namespace tf_dwbp::cpu
