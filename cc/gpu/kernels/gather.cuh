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

// Adds to a thread's tile of sums what the staged positions from `staged` on add to them.
template <int index, int rows, int columns, int channels, typename T, typename Sum>
__device__ __forceinline__ void add_products(
    const T* staged, int row_stride, int column_stride,
    const Sum (&filter)[Gathered<index>::config.taps * Gathered<index>::config.taps][channels],
    Sum (&sums)[rows][columns][channels]) {
  using G = Gathered<index>;
  constexpr int taps = G::config.taps;
#pragma unroll
  for (int sy = 0; sy < extent(G::config, rows); ++sy) {
#pragma unroll
    for (int sx = 0; sx < extent(G::config, columns); ++sx) {
      const auto loaded = load_shared<channels>(staged + sy * row_stride + sx * column_stride);
#pragma unroll
      for (int y = 0; y < rows; ++y) {
        const int ty = G::tap(y, sy);
        if (ty < 0 || ty >= taps) continue;
#pragma unroll
        for (int x = 0; x < columns; ++x) {
          const int tx = G::tap(x, sx);
          if (tx < 0 || tx >= taps) continue;
#pragma unroll
          for (int c = 0; c < channels; ++c) {
            sums[y][x][c] += filter[ty * taps + tx][c] * widen(loaded.values[c]);
          }
        }
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
  bool all_columns;  // are inside

  template <int columns>
  __device__ static Place of(const WindowAxis& height, const WindowAxis& width, const TileStart& ty,
                             const TileStart& tx, int jy, int jx) {
    const int x = result_position(width, tx.phase, jx);
    return {result_position(height, ty.phase, jy), x,
            inside(x, width.result) && inside(x + width.phase_stride * (columns - 1), width.result)};
  }
};

// NHWC: neighbouring threads are neighbouring words of channels.
template <typename T, int index>
__global__ void __launch_bounds__(kThreads, gather_blocks(kGatherConfigurations[index],
                                                          conv::Layout::kNHWC, sizeof(T)))
    gather_nhwc(const __grid_constant__ GatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = config.taps;
  constexpr ThreadTile thread = gather_tile(config, conv::Layout::kNHWC, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns, word = thread.channels;
  constexpr int rs = config.result_step, ss = config.source_step;
  const GatherTiling& tiling = g.tiling;
  const Tile& tile = tiling.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int lane = threadIdx.x & (tiling.lanes - 1);

  for (int64_t block = blockIdx.x; block < tiling.blocks; block += gridDim.x) {
    // The tile before this one has been read.
    if (block != blockIdx.x) __syncthreads();
    const Divided by_channels = divide(block, tiling.channel_blocks);
    const Divided by_x = divide(by_channels.quotient, tile.across * g.width.phases());
    const Divided by_y = divide(by_x.quotient, tile.down * g.height.phases());
    const Staging<T> staging{g.height, g.width, tile,
                             start_of<rs, ss>(by_y.remainder, tile.down, tile.rows),
                             start_of<rs, ss>(by_x.remainder, tile.across, tile.columns)};
    const int64_t first_channel = by_channels.remainder * tiling.lanes * word;
    const int64_t source_row = int64_t{g.width.source} * g.channels;
    const T* const image = g.source + by_y.quotient * g.height.source * source_row;
    staging.template nhwc<word>(shared, image, g.channels, first_channel, tiling.lanes);

    const int64_t channel = first_channel + lane * word;
    const int64_t channels_left = g.channels - channel;
    Sum filter[taps * taps][word];
#pragma unroll
    for (int c = 0; c < word; ++c) {
      const FilterOf<taps, T> f{g.filter + channel + c, g.channels, g.reversed};
#pragma unroll
      for (int tap = 0; tap < taps * taps; ++tap) {
        filter[tap][c] = c < channels_left ? f(tap) : Sum{0};
      }
    }
    const bool nonfinite = has_nonfinite(filter);
    wait_for_copies();
    __syncthreads();
    if (channels_left <= 0) continue;

    const int column_stride = tiling.lanes * word;
    const int64_t result_column = int64_t{g.width.phase_stride} * g.channels;
    const int64_t result_row = int64_t{g.height.phase_stride} * g.width.result * g.channels;
    T* const result =
        g.result + by_y.quotient * g.height.result * g.width.result * g.channels + channel;
    const bool together = aligned_elements(g.result, g.channels, word) == word;
    for (Walk at(threadIdx.x / tiling.lanes, blockDim.x / tiling.lanes, tile.thread_columns);
         at.row < tile.thread_rows; at.next()) {
      const T* const staged = shared + at.row * rows * rs / ss * tile.row_stride +
                              at.column * columns * rs / ss * column_stride + lane * word;
      Sum sums[rows][columns][word] = {};
      add_products<index>(staged, tile.row_stride, column_stride, filter, sums);
      const uint64_t again = nonfinite ? nans(sums) : 0;
      Finish<T>::all(sums, channel, channels_left, g.epilogue);

      const int jy = staging.y.result + at.row * rows, jx = staging.x.result + at.column * columns;
      const Place first = Place::of<columns>(g.height, g.width, staging.y, staging.x, jy, jx);
      T* to = result + (int64_t{first.y} * g.width.result + first.x) * g.channels;
      int ry = first.y;
#pragma unroll
      for (int y = 0; y < rows; ++y) {
        if (inside(ry, g.height.result)) {
          if (first.all_columns) {
#pragma unroll
            for (int x = 0; x < columns; ++x) {
              Finish<T>::store(to + x * result_column, sums[y][x], together, channels_left);
            }
          } else {
#pragma unroll
            for (int x = 0; x < columns; ++x) {
              if (inside(first.x + g.width.phase_stride * x, g.width.result)) {
                Finish<T>::store(to + x * result_column, sums[y][x], together, channels_left);
              }
            }
          }
        }
        to += result_row;
        ry += g.height.phase_stride;
      }
      for (uint64_t bits = again; bits != 0; bits &= bits - 1) {
        const int bit = __ffsll(static_cast<long long>(bits)) - 1;
        const int c = bit % word, x = bit / word % columns, y = bit / word / columns;
        const int ny = first.y + g.height.phase_stride * y;
        const int nx = first.x + g.width.phase_stride * x;
        if (c >= channels_left || !inside(ny, g.height.result) || !inside(nx, g.width.result)) {
          continue;
        }
        const Sum sum = sum_again<index, T>(g.height, g.width, staging.y.phase, staging.x.phase,
                                            jy + y, jx + x, image + channel + c, source_row,
                                            g.channels, {g.filter + channel + c, g.channels,
                                                         g.reversed});
        Finish<T>::one(result + (int64_t{ny} * g.width.result + nx) * g.channels + c, sum,
                       channel + c, g.epilogue);
      }
    }
  }
}

template <typename T>
__device__ int64_t channel_of(const GatherArguments<T>& g, int64_t plane) {
  return divide(plane, g.channels).remainder;
}

template <int taps, typename T>
__device__ FilterOf<taps, T> filter_of(const GatherArguments<T>& g, int64_t channel) {
  return {g.filter + channel, g.channels, g.reversed};
}

template <int taps, typename T, typename Sum>
__device__ __forceinline__ void load_filter(const FilterOf<taps, T>& f,
                                            Sum (&filter)[taps * taps][1]) {
#pragma unroll
  for (int tap = 0; tap < taps * taps; ++tap) filter[tap][0] = f(tap);
}

// NCHW: neighbouring threads are neighbouring columns, of one plane or several small ones.
template <typename T, int index>
__global__ void __launch_bounds__(kThreads, gather_blocks(kGatherConfigurations[index],
                                                          conv::Layout::kNCHW, sizeof(T)))
    gather_nchw(const __grid_constant__ GatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = config.taps;
  constexpr ThreadTile thread = gather_tile(config, conv::Layout::kNCHW, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns;
  constexpr int rs = config.result_step, ss = config.source_step;
  const GatherTiling& tiling = g.tiling;
  const Tile& tile = tiling.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int plane_elements = tile.source_rows * tile.row_stride;
  const int items = tile.thread_rows * tile.thread_columns;
  const int unit = Staging<T>{g.height, g.width, tile, {}, {}}.unit_of(g.source);
  // Planes that are taken at the same time have a thread for each of their items.
  const int own = tiling.planes_at_once == 1 ? 0 : static_cast<int>(threadIdx.x) / items;

  for (int64_t block = blockIdx.x; block < tiling.blocks; block += gridDim.x) {
    // The tile before this one has been read.
    if (block != blockIdx.x) __syncthreads();
    const Divided by_x = divide(block, tile.across * g.width.phases());
    const Divided by_y = divide(by_x.quotient, tile.down * g.height.phases());
    const Staging<T> staging{g.height, g.width, tile,
                             start_of<rs, ss>(by_y.remainder, tile.down, tile.rows),
                             start_of<rs, ss>(by_x.remainder, tile.across, tile.columns)};
    const int64_t first_plane = by_y.quotient * tiling.planes;
    const int64_t all_planes = g.batch * g.channels;
    const int64_t source_plane = int64_t{g.height.source} * g.width.source;
    const int64_t result_plane = int64_t{g.height.result} * g.width.result;
    const int planes = static_cast<int>(
        tiling.planes < all_planes - first_plane ? tiling.planes : all_planes - first_plane);
    staging.nchw(shared, g.source + first_plane * source_plane, planes, unit);

    Sum filter[taps * taps][1] = {};
    // The first of its planes, while the copies are under way.
    if (own < tiling.planes_at_once && own < planes) {
      load_filter(filter_of<taps>(g, channel_of(g, first_plane + own)), filter);
    }
    wait_for_copies();
    __syncthreads();
    if (own >= tiling.planes_at_once) continue;

    for (int p = own; p < planes; p += tiling.planes_at_once) {
      const int64_t plane = first_plane + p;
      const int64_t channel = channel_of(g, plane);
      const FilterOf<taps, T> f = filter_of<taps>(g, channel);
      if (p != own) load_filter(f, filter);
      const bool nonfinite = has_nonfinite(filter);
      T* const result = g.result + plane * result_plane;
      const T* const source = shared + p * plane_elements + staging.column_offset(unit);
      for (Walk at(threadIdx.x - own * items, blockDim.x, tile.thread_columns);
           at.row < tile.thread_rows; at.next()) {
        const T* const staged =
            source + at.row * rows * rs / ss * tile.row_stride + at.column * columns * rs / ss;
        Sum sums[rows][columns][1] = {};
        add_products<index>(staged, tile.row_stride, 1, filter, sums);
        const uint64_t again = nonfinite ? nans(sums) : 0;
        Finish<T>::all(sums, channel, 1, g.epilogue);

        const int jy = staging.y.result + at.row * rows;
        const int jx = staging.x.result + at.column * columns;
        const Place first = Place::of<columns>(g.height, g.width, staging.y, staging.x, jy, jx);
        T* to = result + int64_t{first.y} * g.width.result + first.x;
        // Neighbours in the tile are neighbours in memory.
        const bool together = first.all_columns && g.width.phase_stride == 1 &&
                              aligned_elements(to, g.width.result, columns) == columns;
        int ry = first.y;
#pragma unroll
        for (int y = 0; y < rows; ++y) {
          if (inside(ry, g.height.result)) {
            if (together) {
              Sum row[columns];
#pragma unroll
              for (int x = 0; x < columns; ++x) row[x] = sums[y][x][0];
              Finish<T>::store(to, row, true, columns);
            } else {
#pragma unroll
              for (int x = 0; x < columns; ++x) {
                if (inside(first.x + g.width.phase_stride * x, g.width.result)) {
                  Finish<T>::store(to + g.width.phase_stride * x, sums[y][x], true, 1);
                }
              }
            }
          }
          to += int64_t{g.height.phase_stride} * g.width.result;
          ry += g.height.phase_stride;
        }
        for (uint64_t bits = again; bits != 0; bits &= bits - 1) {
          const int bit = __ffsll(static_cast<long long>(bits)) - 1;
          const int x = bit % columns, y = bit / columns;
          const int ny = first.y + g.height.phase_stride * y;
          const int nx = first.x + g.width.phase_stride * x;
          if (!inside(ny, g.height.result) || !inside(nx, g.width.result)) continue;
          const Sum sum = sum_again<index, T>(
              g.height, g.width, staging.y.phase, staging.x.phase, jy + y, jx + x,
              g.source + plane * source_plane, g.width.source, 1, f);
          Finish<T>::one(result + int64_t{ny} * g.width.result + nx, sum, channel, g.epilogue);
        }
      }
    }
  }
}

}  // namespace tf_dwbp::gpu
