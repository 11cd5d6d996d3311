// The forward op and the input gradient, where a configuration fits. Both kernels compute, for each
// image and channel, where rs and ss are the configuration's result_step and source_step:
//
//   for each result position (jy, jx):
//     sum = 0
//     for each source position (sy, sx) inside the source:
//       ty = rs * jy + taps - 1 - ss * sy;  tx = rs * jx + taps - 1 - ss * sx
//       if (0 <= ty < taps && 0 <= tx < taps) sum += filter[ty][tx] * source[sy][sx]
//     result[jy][jx] = sum
//
// They are bound by memory: each source and result element moves once, for taps^2 multiplications.
// Hence a block stages the source of its tile (tile.cuh), halo included, and each thread keeps the
// filter of its channels and a small tile of sums in registers: what it reads from shared memory
// it uses for all sums that the element has a part in. While a block waits for its tile, the
// others of the multiprocessor multiply; a tile is at most a block's share of the shared memory.
//
// The limit of 3x3 and 5x5 is memory. 7x7 has another one near: an H100 (33 tera multiply-adds and
// 3.3 TB a second) can do 80 of them while a float moves in and one moves out, but 40 for a 16-bit
// number, fewer than the 49 of a sum: there the multipliers are the limit, at four fifths of
// memory's rate at best, before loads, conversions and addresses have taken their share.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/kernels/finish.cuh"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/kernels/tile.cuh"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

template <typename T>
struct GatherArguments : TiledGather {
  const T* source;
  const T* filter;
  T* result;
  Epilogue<T> epilogue;
};

template <int index>
struct Gathered {
  static constexpr Configuration config = kGatherConfigurations[index];
  // Tap that joins result and source position, counted alike; may be none of the filter's.
  static constexpr int tap(int result, int source) {
    return config.result_step * result + config.taps - 1 - config.source_step * source;
  }
};

// One channel's filter.
template <int taps, typename T>
struct FilterOf {
  const T* data;
  int64_t tap_stride;
  bool reversed;

  __device__ auto operator()(int tap) const {
    return widen(data[(reversed ? taps * taps - 1 - tap : tap) * tap_stride]);
  }
};

// A sum from scratch, in which nothing takes part that lies outside.
template <int index, typename T>
__device__ TF_DWBP_NOINLINE AccumulatorOf<T> sum_again(
    const WindowAxis& height, const WindowAxis& width, int phase_y, int phase_x, int jy, int jx,
    const T* source, int64_t row_stride, int64_t column_stride,
    FilterOf<Gathered<index>::config.taps, T> f) {
  constexpr Configuration c = Gathered<index>::config;
  TF_DWBP_COUNT("gather again");
  AccumulatorOf<T> sum = 0;
  for (int ty = 0; ty < c.taps; ++ty) {
    const int y = c.result_step * jy + c.taps - 1 - ty;
    const int sy = source_position(height, phase_y, y / c.source_step);
    if (y % c.source_step != 0 || !inside(sy, height.source)) continue;
    for (int tx = 0; tx < c.taps; ++tx) {
      const int x = c.result_step * jx + c.taps - 1 - tx;
      const int sx = source_position(width, phase_x, x / c.source_step);
      if (x % c.source_step != 0 || !inside(sx, width.source)) continue;
      sum += f(ty * c.taps + tx) * widen(source[sy * row_stride + sx * column_stride]);
    }
  }
  return sum;
}

// Adds to a thread's tile of sums what a row of the source, sy counted from the tile's first, adds.
template <int index, int rows, int columns, int channels, int source_columns, typename Sum>
__device__ __forceinline__ void add_row(
    int sy, const Sum (&row)[source_columns][channels],
    const Sum (&filter)[Gathered<index>::config.taps * Gathered<index>::config.taps][channels],
    Sum (&sums)[rows][columns][channels]) {
  using G = Gathered<index>;
  constexpr int taps = G::config.taps;
#pragma unroll
  for (int sx = 0; sx < source_columns; ++sx) {
#pragma unroll
    for (int y = 0; y < rows; ++y) {
      const int ty = G::tap(y, sy);
      if (ty < 0 || ty >= taps) continue;
#pragma unroll
      for (int x = 0; x < columns; ++x) {
        const int tx = G::tap(x, sx);
        if (tx < 0 || tx >= taps) continue;
#pragma unroll
        for (int c = 0; c < channels; ++c) sums[y][x][c] += filter[ty * taps + tx][c] * row[sx][c];
      }
    }
  }
}

// Which of a thread's sums are NaN: a bit each.
template <int rows, int columns, int channels, typename Sum>
__device__ __forceinline__ uint64_t nans(const Sum (&sums)[rows][columns][channels]) {
  static_assert(rows * columns * channels <= 64, "a bit each");
  uint64_t bits = 0;
#pragma unroll
  for (int y = 0; y < rows; ++y) {
#pragma unroll
    for (int x = 0; x < columns; ++x) {
#pragma unroll
      for (int c = 0; c < channels; ++c) {
        if (sums[y][x][c] != sums[y][x][c]) {
          bits |= uint64_t{1} << ((y * columns + x) * channels + c);
        }
      }
    }
  }
  return bits;
}

// Whether a tap is infinite or NaN: then sums may be NaN because of zeros outside the source.
template <int taps, int channels, typename Sum>
__device__ __forceinline__ bool has_nonfinite(const Sum (&filter)[taps][channels]) {
  Sum sum = 0;
#pragma unroll
  for (int tap = 0; tap < taps; ++tap) {
#pragma unroll
    for (int c = 0; c < channels; ++c) sum += 0 * filter[tap][c];
  }
  return sum != sum;
}

// Where a thread's tile of the result goes: its first position, which may be outside.
struct Place {
  int y;
  int x;
  bool all;  // of its positions are inside

  template <int rows, int columns>
  __device__ static Place of(const WindowAxis& height, const WindowAxis& width, const TileStart& ty,
                             const TileStart& tx, int jy, int jx) {
    const int y = result_position(height, ty.phase, jy), x = result_position(width, tx.phase, jx);
    return {y, x,
            inside(y, height.result) && inside(x, width.result) &&
                inside(y + height.phase_stride * (rows - 1), height.result) &&
                inside(x + width.phase_stride * (columns - 1), width.result)};
  }
};

}  // namespace tf_dwbp::gpu
