// The forward op and the input gradient, where a configuration fits.
//
// They are bound by memory: each source and result element moves once, for taps^2 multiplications.
// Hence a block stages the source of its tile (tile.cuh), halo included, and each thread keeps the
// filter of its channels and a small tile of sums in registers: what it reads from shared memory
// it uses for all sums that the element has a part in. While a block waits for its tile, the
// others of the multiprocessor multiply; a tile is at most a quarter of the shared memory.
//
// The limit of 3x3 and 5x5 is memory. 7x7 has another one near: an H100 (33 tera multiply-adds and
// 3.3 TB a second) can do 80 of them while a float moves in and one moves out, but 40 for a 16-bit
// number, fewer than the 49 of a sum: there the multipliers are the limit, at four fifths of
// memory's rate at best, before loads, conversions and addresses have taken their share.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/plan.h"
#include "cc/gpu/tile.cuh"

namespace tf_dwbp::gpu {

template <typename T>
struct GatherArguments {
  const T* source;
  const T* filter;
  T* result;
  int64_t batch;
  int64_t channels;
  WindowAxis height;
  WindowAxis width;
  bool reversed;  // taps are counted from the filter's last
  GatherPlan plan;
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
  int64_t stride;  // from tap to tap
  bool reversed;

  __device__ auto operator()(int tap) const {
    return widen(data[(reversed ? taps * taps - 1 - tap : tap) * stride]);
  }
};

// A sum from scratch, in which nothing takes part that lies outside. The strides are those of
// positions in the source.
template <int index, typename T>
__device__ TF_DWBP_NOINLINE AccumulatorOf<T> sum_again(
    const WindowAxis& height, const WindowAxis& width, int64_t residue_y, int64_t residue_x,
    int64_t jy, int64_t jx, const T* source, int64_t row, int64_t column,
    FilterOf<Gathered<index>::config.taps, T> f) {
  constexpr Configuration c = Gathered<index>::config;
  TF_DWBP_COUNT("gather again");
  AccumulatorOf<T> sum = 0;
  for (int ty = 0; ty < c.taps; ++ty) {
    const int64_t y = c.result_step * jy + c.taps - 1 - ty;
    const int64_t sy = source_position(height, residue_y, y / c.source_step);
    if (y % c.source_step != 0 || !inside(sy, height.source)) continue;
    for (int tx = 0; tx < c.taps; ++tx) {
      const int64_t x = c.result_step * jx + c.taps - 1 - tx;
      const int64_t sx = source_position(width, residue_x, x / c.source_step);
      if (x % c.source_step != 0 || !inside(sx, width.source)) continue;
      sum += f(ty * c.taps + tx) * widen(source[sy * row + sx * column]);
    }
  }
  return sum;
}

// Adds to a thread's tile of sums what meets at its window, rows and columns of which are `row`
// and `column` elements apart.
template <int index, int rows, int columns, int channels, typename T, typename Sum>
__device__ __forceinline__ void add_window(
    const T* window, int row, int column,
    const Sum (&filter)[Gathered<index>::config.taps * Gathered<index>::config.taps][channels],
    Sum (&sums)[rows][columns][channels]) {
  using G = Gathered<index>;
  constexpr int taps = G::config.taps;
#pragma unroll
  for (int sy = 0; sy < extent(G::config, rows); ++sy) {
#pragma unroll
    for (int sx = 0; sx < extent(G::config, columns); ++sx) {
      const auto loaded =
          *reinterpret_cast<const Vector<T, channels>*>(window + sy * row + sx * column);
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

// Stores `count` of n neighbours.
template <typename T, int n, typename Sum>
__device__ __forceinline__ void store(T* to, const Sum (&sums)[n], int64_t count) {
  Vector<T, n> narrowed;
#pragma unroll
  for (int i = 0; i < n; ++i) narrow(sums[i], &narrowed.values[i]);
  if (n > 1 && count >= n && reinterpret_cast<uintptr_t>(to) % sizeof(narrowed) == 0) {
    *reinterpret_cast<Vector<T, n>*>(to) = narrowed;
    return;
  }
#pragma unroll
  for (int i = 0; i < n; ++i) {
    if (i < count) to[i] = narrowed.values[i];
  }
}

// NHWC: neighbouring threads are neighbouring words of channels.
template <typename T, int index>
__global__ void __launch_bounds__(kThreads)
    gather_nhwc(const __grid_constant__ GatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = config.taps;
  constexpr ThreadTile thread = gather_tile(config, conv::Layout::kNHWC, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns, word = thread.channels;
  constexpr int rs = config.result_step, ss = config.source_step;
  const GatherPlan& plan = g.plan;
  const Tile& tile = plan.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int lane = threadIdx.x & (plan.lanes - 1);

  for (int64_t block = blockIdx.x; block < plan.blocks; block += gridDim.x) {
    // The tile before this one has been read.
    if (block != blockIdx.x) __syncthreads();
    const Divided by_channels = divide(block, plan.channel_blocks);
    const Divided by_x = divide(by_channels.quotient, tile.across * g.width.classes());
    const Divided by_y = divide(by_x.quotient, tile.down * g.height.classes());
    const Staging<T> staging{g.height, g.width, tile,
                             start_of<rs, ss>(by_y.remainder, tile.down, tile.rows),
                             start_of<rs, ss>(by_x.remainder, tile.across, tile.columns)};
    const int64_t first_channel = by_channels.remainder * plan.lanes * word;
    const T* const image = g.source + by_y.quotient * g.height.source * g.width.source * g.channels;
    staging.template nhwc<word>(shared, image, g.channels, first_channel, plan.lanes);

    const int64_t channel = first_channel + lane * word;
    Sum filter[taps * taps][word];
#pragma unroll
    for (int c = 0; c < word; ++c) {
      const FilterOf<taps, T> f{g.filter + channel + c, g.channels, g.reversed};
#pragma unroll
      for (int tap = 0; tap < taps * taps; ++tap) {
        filter[tap][c] = channel + c < g.channels ? f(tap) : Sum{0};
      }
    }
    wait_for_copies();
    __syncthreads();

    T* const result =
        g.result + by_y.quotient * g.height.result * g.width.result * g.channels + channel;
    const int column = plan.lanes * word;
    for (Walk at(threadIdx.x / plan.lanes, blockDim.x / plan.lanes, tile.thread_columns);
         at.row < tile.thread_rows; at.next()) {
      const T* const window = shared + at.row * rows * rs / ss * tile.pitch +
                              at.column * columns * rs / ss * column + lane * word;
      Sum sums[rows][columns][word] = {};
      add_window<index>(window, tile.pitch, column, filter, sums);
      if (channel >= g.channels) continue;

      const int64_t jy = staging.y.result + at.row * rows;
      const int64_t jx = staging.x.result + at.column * columns;
#pragma unroll
      for (int y = 0; y < rows; ++y) {
        const int64_t ry = result_position(g.height, staging.y.residue, jy + y);
        if (!inside(ry, g.height.result)) continue;
#pragma unroll
        for (int x = 0; x < columns; ++x) {
          const int64_t rx = result_position(g.width, staging.x.residue, jx + x);
          if (!inside(rx, g.width.result)) continue;
          store<T, word>(result + (ry * g.width.result + rx) * g.channels, sums[y][x],
                         g.channels - channel);
        }
      }
      for (uint64_t bits = nans(sums); bits != 0; bits &= bits - 1) {
        const int bit = __ffsll(static_cast<long long>(bits)) - 1;
        const int c = bit % word, x = bit / word % columns, y = bit / word / columns;
        const int64_t ry = result_position(g.height, staging.y.residue, jy + y);
        const int64_t rx = result_position(g.width, staging.x.residue, jx + x);
        if (channel + c >= g.channels || !inside(ry, g.height.result) ||
            !inside(rx, g.width.result)) {
          continue;
        }
        narrow(sum_again<index, T>(g.height, g.width, staging.y.residue, staging.x.residue, jy + y,
                                   jx + x, image + channel + c, g.width.source * g.channels,
                                   g.channels, {g.filter + channel + c, g.channels, g.reversed}),
               result + (ry * g.width.result + rx) * g.channels + c);
      }
    }
  }
}

template <int taps, typename T>
__device__ FilterOf<taps, T> filter_of_plane(const GatherArguments<T>& g, int64_t plane) {
  return {g.filter + divide(plane, g.channels).remainder, g.channels, g.reversed};
}

template <int taps, typename T, typename Sum>
__device__ __forceinline__ void load_filter(const FilterOf<taps, T>& f,
                                            Sum (&filter)[taps * taps][1]) {
#pragma unroll
  for (int tap = 0; tap < taps * taps; ++tap) filter[tap][0] = f(tap);
}

// NCHW: neighbouring threads are neighbouring columns, of one plane or several small ones.
template <typename T, int index>
__global__ void __launch_bounds__(kThreads)
    gather_nchw(const __grid_constant__ GatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = config.taps;
  constexpr ThreadTile thread = gather_tile(config, conv::Layout::kNCHW, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns;
  constexpr int rs = config.result_step, ss = config.source_step;
  const GatherPlan& plan = g.plan;
  const Tile& tile = plan.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int plane_elements = tile.source_rows * tile.pitch;
  const int items = tile.thread_rows * tile.thread_columns;
  // Planes that are taken at the same time have a thread for each of their items.
  const int own = plan.planes_at_once == 1 ? 0 : static_cast<int>(threadIdx.x) / items;

  for (int64_t block = blockIdx.x; block < plan.blocks; block += gridDim.x) {
    // The tile before this one has been read.
    if (block != blockIdx.x) __syncthreads();
    const Divided by_x = divide(block, tile.across * g.width.classes());
    const Divided by_y = divide(by_x.quotient, tile.down * g.height.classes());
    const Staging<T> staging{g.height, g.width, tile,
                             start_of<rs, ss>(by_y.remainder, tile.down, tile.rows),
                             start_of<rs, ss>(by_x.remainder, tile.across, tile.columns)};
    const int64_t first_plane = by_y.quotient * plan.planes;
    const int64_t source_plane = g.height.source * g.width.source;
    for (int p = 0; p < plan.planes && first_plane + p < g.batch * g.channels; ++p) {
      staging.nchw(shared + p * plane_elements, g.source + (first_plane + p) * source_plane);
    }

    const int64_t planes = g.batch * g.channels;
    Sum filter[taps * taps][1] = {};
    // The first of its planes, while the copies are under way.
    if (own < plan.planes_at_once && first_plane + own < planes) {
      load_filter(filter_of_plane<taps>(g, first_plane + own), filter);
    }
    wait_for_copies();
    __syncthreads();
    if (own >= plan.planes_at_once) continue;

    for (int p = own; p < plan.planes && first_plane + p < planes; p += plan.planes_at_once) {
      const int64_t plane = first_plane + p;
      const FilterOf<taps, T> f = filter_of_plane<taps>(g, plane);
      if (p != own) load_filter(f, filter);
      const T* const source = g.source + plane * source_plane;
      T* const result = g.result + plane * g.height.result * g.width.result;
      const T* const first_window = shared + p * plane_elements + staging.column_offset(source);
      for (Walk at(threadIdx.x - own * items, blockDim.x, tile.thread_columns);
           at.row < tile.thread_rows; at.next()) {
        const T* const window =
            first_window + at.row * rows * rs / ss * tile.pitch + at.column * columns * rs / ss;
        Sum sums[rows][columns][1] = {};
        add_window<index>(window, tile.pitch, 1, filter, sums);

        const int64_t jy = staging.y.result + at.row * rows;
        const int64_t jx = staging.x.result + at.column * columns;
        const int64_t rx = result_position(g.width, staging.x.residue, jx);
#pragma unroll
        for (int y = 0; y < rows; ++y) {
          const int64_t ry = result_position(g.height, staging.y.residue, jy + y);
          if (!inside(ry, g.height.result)) continue;
          T* const to = result + ry * g.width.result;
          Sum row[columns];
#pragma unroll
          for (int x = 0; x < columns; ++x) row[x] = sums[y][x][0];
          if (g.width.step == 1 && rx >= 0) {
            store<T, columns>(to + rx, row, g.width.result - rx);
            continue;
          }
#pragma unroll
          for (int x = 0; x < columns; ++x) {
            const int64_t position = rx + g.width.step * x;
            if (inside(position, g.width.result)) narrow(row[x], to + position);
          }
        }
        for (uint64_t bits = nans(sums); bits != 0; bits &= bits - 1) {
          const int bit = __ffsll(static_cast<long long>(bits)) - 1;
          const int x = bit % columns, y = bit / columns;
          const int64_t ry = result_position(g.height, staging.y.residue, jy + y);
          const int64_t position = rx + g.width.step * x;
          if (!inside(ry, g.height.result) || !inside(position, g.width.result)) continue;
          narrow(sum_again<index, T>(g.height, g.width, staging.y.residue, staging.x.residue,
                                     jy + y, jx + x, source, g.width.source, 1, f),
                 result + ry * g.width.result + position);
        }
      }
    }
  }
}

}  // namespace tf_dwbp::gpu
