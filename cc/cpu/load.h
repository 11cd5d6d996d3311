// Copies rows of a tensor into a window. See kernels.h.
#pragma once

#include "cc/cpu/kernels.h"
#include "cc/cpu/simd.h"

namespace tf_dwbp::cpu {
namespace {

// Bytes ahead that copies ask for what they will need.
constexpr int kAhead = 1024;

// Steps through the rows of a window's ring.
template <typename Job>
struct Slots {
  explicit Slots(const Job& job) : job(job), slot(job.first_slot) {}
  int64_t row() const { return slot * job.window_row; }
  void next() { slot = slot + 1 == job.slots ? 0 : slot + 1; }

  const Job& job;
  int64_t slot;
};

// The first of a group's channels, as the window counts them.
template <typename Job>
inline int64_t first_channel(const Job& job, int64_t group, int64_t lanes) {
  return group + 1 < job.lanes.groups ? group * lanes : job.lanes.last;
}

// Where the lanes of a group begin.
template <typename Job>
inline int find_lanes(const Job& job, int64_t group, int64_t lanes, int64_t* offsets) {
  const LaneMap& map = job.lanes;
  const int64_t first = map.phase + first_channel(job, group, lanes);
  int lane = 0;
  for (int64_t image = 0; image < map.images; ++image) {
    for (int64_t c = 0; c < map.channels; ++c) {
      const int64_t channel = map.repeat == 1 ? first + c : (first + c) / map.repeat;
      offsets[lane++] = image * map.image_step + channel * map.channel_step;
    }
  }
  return lane;
}

// Lanes that are adjacent in memory, as with NHWC.
template <typename T>
inline void load_adjacent(const CopyJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  Slots slots(job);
  for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
    const T* from = job.tensor + row * job.row_step;
    Acc* to = job.window + slots.row();
    for (int64_t x = 0; x < job.columns; ++x, from += job.column_step, to += kLanes) {
      for (int64_t g = 0; g + 1 < job.lanes.groups; ++g) {
        Lanes<Acc>::store(to + g * job.window_group, Lanes<T>::load(from + g * kLanes));
      }
      Lanes<Acc>::store(to + (job.lanes.groups - 1) * job.window_group,
                        Lanes<T>::load(from + job.lanes.last));
    }
  }
}

// NHWC with a depth multiplier that is a small power of two: each vector of lanes is spread over
// kMultiplier vectors.
template <int kMultiplier, typename T>
inline void load_interleaved(const CopyJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  Slots slots(job);
  for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
    for (int64_t g = 0; g < job.lanes.groups; ++g) {
      const T* from = job.tensor + row * job.row_step + first_channel(job, g, kLanes) * kMultiplier;
      Acc* to = job.window + g * job.window_group + slots.row();
      for (int64_t x = 0; x < job.columns; ++x, from += job.column_step, to += kLanes) {
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
          Lanes<Acc>::store(to + m * job.window_multiplier, a[m]);
        }
      }
    }
  }
}

// Columns that are adjacent in memory, as with NCHW: squares of lanes x columns are transposed.
template <typename T>
inline void load_transposed(const CopyJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  constexpr int kLanes = Lanes<T>::kCount;
  // Rows that follow each other without a gap are one long row.
  const bool flat = job.row_step == job.columns;
  const int64_t lines = flat ? 1 : job.rows;
  const int64_t length = flat ? job.rows * job.columns : job.columns;
  int64_t offsets[kLanes];
  for (int64_t g = 0; g < job.lanes.groups; ++g) {
    const int lanes = find_lanes(job, g, kLanes, offsets);
    for (int64_t m = 0; m < job.multiplier; ++m) {
      Acc* window = job.window + g * job.window_group + m * job.window_multiplier;
      Slots slots(job);
      for (int64_t line = 0; line < lines; ++line) {
        const T* from = job.tensor + m * job.multiplier_step + line * job.row_step;
        Acc* to = window + slots.row();
        int64_t column = 0;
        const auto next = [&] {
          to += kLanes;
          if (++column == job.columns) {
            column = 0;
            slots.next();
            to = window + slots.row();
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
            __builtin_prefetch(plane + kAhead / sizeof(T));
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
inline void load_few(const CopyJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  const int64_t channels = map.channels;
  Slots slots(job);
  for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
    const T* from = job.tensor + row * job.row_step;
    Acc* to = job.window + slots.row();
    // Neither a read nor a write may pass the end of the row.
    int64_t x = 0;
    for (; x + 1 < job.columns && (job.columns - x) * job.column_step >= kLanes; ++x) {
      for (int64_t image = 0; image < map.images; ++image) {
        __builtin_prefetch(from + image * map.image_step + kAhead / sizeof(T));
        if constexpr (sizeof(T) == sizeof(Acc)) {
          __builtin_memcpy(to + image * channels, from + image * map.image_step, kPart * sizeof(T));
        } else {
          const auto pixel = Lanes<T>::load(from + image * map.image_step);
          __builtin_memcpy(to + image * channels, &pixel, kPart * sizeof(Acc));
        }
      }
      from += job.column_step;
      to += kLanes;
    }
    for (; x < job.columns; ++x) {
      for (int64_t image = 0; image < map.images; ++image) {
        for (int64_t c = 0; c < channels; ++c) {
          to[image * channels + c] = read(&from[image * map.image_step + c]);
        }
      }
      from += job.column_step;
      to += kLanes;
    }
  }
}

// NHWC, each channel repeated: one shuffle spreads those that a vector has.
template <typename T>
inline void load_repeated(const CopyJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  using Index = IndexOf<typename Lanes<T>::Vector>;
  constexpr int kLanes = Lanes<T>::kCount;
  const LaneMap& map = job.lanes;
  for (int64_t g = 0; g < map.groups; ++g) {
    const int64_t first = map.phase + first_channel(job, g, kLanes);
    const int64_t channel = first / map.repeat;
    const int64_t channels = (first + kLanes - 1) / map.repeat - channel + 1;
    Index index{};
    for (int lane = 0; lane < kLanes; ++lane) index[lane] = (first + lane) / map.repeat - channel;
    Slots slots(job);
    for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
      const T* from = job.tensor + row * job.row_step + channel;
      Acc* to = job.window + g * job.window_group + slots.row();
      // A vector may reach into the next pixels, but no further than the last of the row.
      const int64_t beyond = kLanes - channels;
      int64_t x = 0;
      for (; x + 1 < job.columns && (job.columns - 1 - x) * job.column_step >= beyond; ++x) {
        Lanes<Acc>::store(to, pick_at(Lanes<T>::load(from), index));
        from += job.column_step;
        to += kLanes;
      }
      for (; x < job.columns; ++x, from += job.column_step, to += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) to[lane] = read(&from[index[lane]]);
      }
    }
  }
}

// Everything else.
template <typename T>
inline void load_one_by_one(const CopyJob<const T>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  int64_t offsets[kLanes];
  for (int64_t g = 0; g < job.lanes.groups; ++g) {
    const int lanes = find_lanes(job, g, kLanes, offsets);
    Slots slots(job);
    for (int64_t row = 0; row < job.rows; ++row, slots.next()) {
      for (int64_t m = 0; m < job.multiplier; ++m) {
        const T* from = job.tensor + row * job.row_step + m * job.multiplier_step;
        Acc* to = job.window + g * job.window_group + m * job.window_multiplier + slots.row();
        for (int64_t x = 0; x < job.columns; ++x, from += job.column_step, to += kLanes) {
          for (int lane = 0; lane < lanes; ++lane) to[lane] = read(&from[offsets[lane]]);
        }
      }
    }
  }
}

template <typename T>
void load(const CopyJob<const T>& job) {
  const LaneMap& map = job.lanes;
  const bool full = map.images == 1 && map.channels == Lanes<T>::kCount;
  if (map.repeat > 1) {
    if (job.column_step == 1) return load_transposed<T>(job);
    if (full && map.channel_step == 1 && job.column_step > 0) return load_repeated<T>(job);
    return load_one_by_one<T>(job);
  }
  if (full && map.channel_step == 1 && job.multiplier == 1) return load_adjacent<T>(job);
  if (job.column_step == 1) return load_transposed<T>(job);
  if (map.channel_step == 1 && job.multiplier == 1) {
    constexpr int kLanes = Lanes<T>::kCount;
    if (map.channels <= kLanes / 4) return load_few<kLanes / 4, T>(job);
    if (map.channels <= kLanes / 2) return load_few<kLanes / 2, T>(job);
    return load_few<kLanes, T>(job);
  }
  if (full && job.multiplier_step == 1 && map.channel_step == job.multiplier) {
    if (job.multiplier == 2) return load_interleaved<2, T>(job);
    if (job.multiplier == 4) return load_interleaved<4, T>(job);
  }
  load_one_by_one<T>(job);
}

}  // namespace
}  // namespace tf_dwbp::cpu
