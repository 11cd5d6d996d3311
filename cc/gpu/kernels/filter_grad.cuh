// The gradient for the filter, where a configuration fits. Both kernels compute, for each part of
// all images' tiles and each channel, where rs is the configuration's result_step:
//
//   for each tap (ky, kx):
//     sum = 0
//     for each image, and each position (jy, jx) of out_backprop, of the part's tiles:
//       sy = rs * jy + ky;  sx = rs * jx + kx
//       if (sy and sx are inside the input) sum += input[sy][sx] * out_backprop[jy][jx]
//     partial[part][ky][kx] = sum
//
// Bound by memory like gather.cuh, and the same in its staging: the input's tile is in shared
// memory, since each element meets several of out_backprop's; these, which only one thread wants,
// come straight from memory. What a thread sums are the filter's taps, all of them in registers,
// over all tiles of its block's part. At the part's end the block adds up its threads' sums and
// leaves them in the workspace; a second kernel adds the parts. Which terms a thread has, and
// the order in which anything is added, is fixed by the tiling, so that the same call gives the
// same bits, without an atomic.
//
// Sums of up to kTermsOfSum terms are kept plain. The few that a block adds up make little
// difference; the parts, which may be many, are added with compensation (Neumaier's): the error
// stays that of some 300 terms however long the sum is.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/kernels/sum.cuh"
#include "cc/gpu/kernels/tile.cuh"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

template <typename T>
struct FilterGradArguments : TiledFilterGrad {
  const T* input;
  const T* out;
  AccumulatorOf<T>* partial;  // [parts, taps, channels]
};

// A tile among those of all images: innermost are a phase's, then the phases, then the images.
template <typename T, int stride>
struct FilterGradTile {
  TileStart y;
  TileStart x;
  int64_t images;  // first of the tile's images

  __device__ FilterGradTile(const FilterGradArguments<T>& g, int64_t index) {
    const Tile& tile = g.tiling.tile;
    const Divided by_x = divide(index, tile.across * g.width.phases());
    const Divided by_y = divide(by_x.quotient, tile.down * g.height.phases());
    y = start_of<stride, 1>(by_y.remainder, tile.down, tile.rows);
    x = start_of<stride, 1>(by_x.remainder, tile.across, tile.columns);
    images = by_y.quotient * g.tiling.images;
  }
};

// The positions of out_backprop at which a tile's rows or columns end.
__device__ inline int end_of(const WindowAxis& axis, int j, int size) {
  return j + size < axis.positions() ? j + size : axis.positions();
}

// What a part's sum for a tap is when nothing takes part that lies outside.
template <int index, conv::Layout layout, typename T>
__device__ TF_DWBP_NOINLINE AccumulatorOf<T> part_again(const FilterGradArguments<T>& g,
                                                        int64_t part, int tap, int64_t channel) {
  constexpr Configuration config = kFilterGradConfigurations[index];
  constexpr bool nhwc = layout == conv::Layout::kNHWC;
  TF_DWBP_COUNT("part again");
  const int ky = tap / config.taps, kx = tap % config.taps;
  const int64_t column_stride = nhwc ? g.channels : 1;
  const int64_t input_plane = int64_t{g.height.source} * g.width.source;
  const int64_t out_plane = int64_t{g.height.result} * g.width.result;
  AccumulatorOf<T> sum = 0;
  const int64_t first = part * g.tiling.tiles_of_part;
  for (int64_t i = first; i < first + g.tiling.tiles_of_part && i < g.tiling.tiles; ++i) {
    const FilterGradTile<T, config.result_step> t(g, i);
    for (int64_t b = t.images; b < t.images + g.tiling.images && b < g.batch; ++b) {
      const T* const input = g.input + (nhwc ? b * g.channels * input_plane + channel
                                             : (b * g.channels + channel) * input_plane);
      const T* const out = g.out + (nhwc ? b * g.channels * out_plane + channel
                                         : (b * g.channels + channel) * out_plane);
      for (int y = t.y.result; y < end_of(g.height, t.y.result, g.tiling.tile.rows); ++y) {
        const int oy = result_position(g.height, t.y.phase, y);
        const int iy = source_position(g.height, t.y.phase, y * config.result_step + ky);
        if (oy >= g.height.result || !inside(iy, g.height.source)) continue;
        for (int x = t.x.result; x < end_of(g.width, t.x.result, g.tiling.tile.columns); ++x) {
          const int ox = result_position(g.width, t.x.phase, x);
          const int ix = source_position(g.width, t.x.phase, x * config.result_step + kx);
          if (ox >= g.width.result || !inside(ix, g.width.source)) continue;
          sum += widen(input[(int64_t{iy} * g.width.source + ix) * column_stride]) *
                 widen(out[(int64_t{oy} * g.width.result + ox) * column_stride]);
        }
      }
    }
  }
  return sum;
}

// Adds to the sums of all taps what a thread's elements of out_backprop meet from `staged` on.
template <int index, int rows, int columns, int channels, typename T, typename Sum>
__device__ __forceinline__ void add_products(
    const T* staged, int row_stride, int column_stride,
    const Vector<T, channels> (&loaded_out)[rows][columns],
    Sum (&sums)[kFilterGradConfigurations[index].taps * kFilterGradConfigurations[index].taps]
               [channels]) {
  constexpr Configuration config = kFilterGradConfigurations[index];
  Sum out[rows][columns][channels];
#pragma unroll
  for (int y = 0; y < rows; ++y) {
#pragma unroll
    for (int x = 0; x < columns; ++x) {
#pragma unroll
      for (int c = 0; c < channels; ++c) out[y][x][c] = widen(loaded_out[y][x].values[c]);
    }
  }
#pragma unroll
  for (int sy = 0; sy < extent(config, rows); ++sy) {
#pragma unroll
    for (int sx = 0; sx < extent(config, columns); ++sx) {
      const auto loaded = load_shared<channels>(staged + sy * row_stride + sx * column_stride);
#pragma unroll
      for (int y = 0; y < rows; ++y) {
        const int ky = sy - config.result_step * y;
        if (ky < 0 || ky >= config.taps) continue;
#pragma unroll
        for (int x = 0; x < columns; ++x) {
          const int kx = sx - config.result_step * x;
          if (kx < 0 || kx >= config.taps) continue;
#pragma unroll
          for (int c = 0; c < channels; ++c) {
            sums[ky * config.taps + kx][c] += out[y][x][c] * widen(loaded.values[c]);
          }
        }
      }
    }
  }
}

// The elements of out_backprop of a thread's tile, from position (jy, jx) of a phase on; zeros where
// there are none. `out` is the image's, from the thread's first channel on, of which `count` exist.
template <int rows, int columns, int channels, typename T>
__device__ __forceinline__ void load_tile(const WindowAxis& height, const WindowAxis& width,
                                          const TileStart& ty, const TileStart& tx, int jy, int jx,
                                          const T* out, int64_t column_stride, bool together,
                                          int64_t count, Vector<T, channels> (&tile)[rows][columns]) {
  int oy = result_position(height, ty.phase, jy);
  const int ox = result_position(width, tx.phase, jx);
  const T* from = out + (int64_t{oy} * width.result + ox) * column_stride;
  const int64_t from_column = width.phase_stride * column_stride;
#pragma unroll
  for (int y = 0; y < rows; ++y) {
#pragma unroll
    for (int x = 0; x < columns; ++x) {
      const bool there = oy < height.result && ox + width.phase_stride * x < width.result;
      tile[y][x] = load_word<channels>(from + x * from_column, there, together, count);
    }
    oy += height.phase_stride;
    from += int64_t{height.phase_stride} * width.result * column_stride;
  }
}

// NHWC: neighbouring threads are neighbouring words of channels, the groups of `lanes` threads
// share the items of a tile.
template <typename T, int index>
__global__ void __launch_bounds__(kThreads, filter_grad_blocks(kFilterGradConfigurations[index],
                                                               conv::Layout::kNHWC, sizeof(T)))
    filter_grad_nhwc(const __grid_constant__ FilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kFilterGradConfigurations[index];
  constexpr int taps = config.taps, stride = config.result_step;
  constexpr ThreadTile thread = filter_grad_tile(conv::Layout::kNHWC, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns, word = thread.channels;
  const FilterGradTiling& tiling = g.tiling;
  const Tile& tile = tiling.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int lane = threadIdx.x & (tiling.lanes - 1);
  const int group = threadIdx.x / tiling.lanes, groups = kThreads / tiling.lanes;
  const int column_stride = tiling.lanes * word;
  const bool together = aligned_elements(g.out, g.channels, word) == word;

  for (int64_t block = blockIdx.x; block < tiling.parts * tiling.channel_blocks;
       block += gridDim.x) {
    const Divided by_channels = divide(block, tiling.channel_blocks);
    const int64_t part = by_channels.quotient;
    const int64_t first_channel = by_channels.remainder * tiling.lanes * word;
    const int64_t channel = first_channel + lane * word;
    const int64_t channels_left = g.channels - channel;
    Sum sums[taps * taps][word] = {};
    const int64_t first = part * tiling.tiles_of_part;
    for (int64_t i = first; i < first + tiling.tiles_of_part && i < tiling.tiles; ++i) {
      const FilterGradTile<T, stride> t(g, i);
      // What was there before has been read.
      __syncthreads();
      const Staging<T> staging{g.height, g.width, tile, t.y, t.x};
      staging.template nhwc<word>(
          shared, g.input + t.images * g.height.source * g.width.source * g.channels, g.channels,
          first_channel, tiling.lanes);
      const T* const image =
          g.out + t.images * g.height.result * g.width.result * g.channels + channel;
      const auto load = [&](const Walk& at, Vector<T, word>(&out)[rows][columns]) {
        load_tile<rows, columns, word>(g.height, g.width, t.y, t.x, t.y.result + at.row * rows,
                                       t.x.result + at.column * columns, image, g.channels,
                                       together, channels_left, out);
      };
      // While the copies are under way.
      Walk at(group, groups, tile.thread_columns);
      Vector<T, word> out[rows][columns] = {};
      if (at.row < tile.thread_rows) load(at, out);
      wait_for_copies();
      __syncthreads();
      while (at.row < tile.thread_rows) {
        const T* const staged = shared + at.row * rows * stride * tile.row_stride +
                                at.column * columns * stride * column_stride + lane * word;
        add_products<index>(staged, tile.row_stride, column_stride, out, sums);
        at.next();
        if (at.row < tile.thread_rows) load(at, out);
      }
    }

    // Some rows of taps at a time: [groups][taps][channels], then a thread for each sum of groups.
    Sum* const sums_of_groups = reinterpret_cast<Sum*>(shared_memory());
    constexpr int kTogether = rows_of_sums(taps, word, sizeof(Sum));
#pragma unroll
    for (int first_row = 0; first_row < taps; first_row += kTogether) {
      constexpr int kMost = kTogether * taps;
      const int some = (first_row + kTogether < taps ? kTogether : taps - first_row) * taps;
      // The tile, or the rows before these, have been read.
      __syncthreads();
#pragma unroll
      for (int tap = 0; tap < kMost; ++tap) {
        if (tap >= some) break;
#pragma unroll
        for (int c = 0; c < word; ++c) {
          store_shared(&sums_of_groups[(group * some + tap) * column_stride + lane * word + c],
                       sums[first_row * taps + tap][c]);
        }
      }
      __syncthreads();
      for (int i = threadIdx.x; i < some * column_stride; i += kThreads) {
        const int64_t c = first_channel + (i & (column_stride - 1));
        if (c >= g.channels) continue;
        Sum sum = load_shared(&sums_of_groups[i]);
        for (int other = 1; other < groups; ++other)
          sum += load_shared(&sums_of_groups[other * some * column_stride + i]);
        const int tap = first_row * taps + i / column_stride;
        if (sum != sum) sum = part_again<index, conv::Layout::kNHWC>(g, part, tap, c);
        g.partial[(part * taps * taps + tap) * g.channels + c] = sum;
      }
    }
  }
}

// NCHW: neighbouring threads are neighbouring columns; a few warps share a channel.
template <typename T, int index>
__global__ void __launch_bounds__(kThreads, filter_grad_blocks(kFilterGradConfigurations[index],
                                                               conv::Layout::kNCHW, sizeof(T)))
    filter_grad_nchw(const __grid_constant__ FilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kFilterGradConfigurations[index];
  constexpr int taps = config.taps, stride = config.result_step;
  constexpr ThreadTile thread = filter_grad_tile(conv::Layout::kNCHW, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns;
  const FilterGradTiling& tiling = g.tiling;
  const Tile& tile = tiling.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int plane_elements = tile.source_rows * tile.row_stride;
  const int groups = kThreads / tiling.channels;
  const int own = threadIdx.x / groups, group = threadIdx.x - own * groups;
  const int unit = Staging<T>{g.height, g.width, tile, {}, {}}.unit_of(g.input);

  for (int64_t block = blockIdx.x; block < tiling.parts * tiling.channel_blocks;
       block += gridDim.x) {
    const Divided by_channels = divide(block, tiling.channel_blocks);
    const int64_t part = by_channels.quotient;
    const int64_t first_channel = by_channels.remainder * tiling.channels;
    const int64_t channel = first_channel + own;
    const int channels = static_cast<int>(
        tiling.channels < g.channels - first_channel ? tiling.channels
                                                     : g.channels - first_channel);
    Sum sums[taps * taps][1] = {};
    const int64_t first = part * tiling.tiles_of_part;
    for (int64_t i = first; i < first + tiling.tiles_of_part && i < tiling.tiles; ++i) {
      const FilterGradTile<T, stride> t(g, i);
      // What was there before has been read.
      __syncthreads();
      const Staging<T> staging{g.height, g.width, tile, t.y, t.x};
      const int64_t input_plane = int64_t{g.height.source} * g.width.source;
      const int64_t out_plane = int64_t{g.height.result} * g.width.result;
      const int images = static_cast<int>(
          tiling.images < g.batch - t.images ? tiling.images : g.batch - t.images);
      for (int image = 0; image < images; ++image) {
        staging.nchw(shared + image * tiling.channels * plane_elements,
                     g.input + ((t.images + image) * g.channels + first_channel) * input_plane,
                     channels, unit);
      }
      // Rows of items, of one image after the other.
      const auto load = [&](const Walk& at, Vector<T, 1>(&out)[rows][columns]) {
        const int image = at.row / tile.thread_rows, row = at.row - image * tile.thread_rows;
        load_tile<rows, columns, 1>(
            g.height, g.width, t.y, t.x, t.y.result + row * rows, t.x.result + at.column * columns,
            g.out + ((t.images + image) * g.channels + channel) * out_plane, 1, true, 1, out);
      };
      const int end = own < channels ? tile.thread_rows * images : 0;
      // While the copies are under way.
      Walk at(group, groups, tile.thread_columns);
      Vector<T, 1> out[rows][columns] = {};
      if (at.row < end) load(at, out);
      wait_for_copies();
      __syncthreads();
      while (at.row < end) {
        const int image = at.row / tile.thread_rows, row = at.row - image * tile.thread_rows;
        const T* const staged = shared + (image * tiling.channels + own) * plane_elements +
                                staging.column_offset(unit) +
                                row * rows * stride * tile.row_stride +
                                at.column * columns * stride;
        add_products<index>(staged, tile.row_stride, 1, out, sums);
        at.next();
        if (at.row < end) load(at, out);
      }
    }

    // Within warps, then [warps][taps].
    Sum* const of_warps = reinterpret_cast<Sum*>(shared_memory());
    __syncthreads();
#pragma unroll
    for (int tap = 0; tap < taps * taps; ++tap) {
      const Sum sum = sum_of_warp(sums[tap][0]);
      if (threadIdx.x % kWarp == 0) {
        store_shared(&of_warps[threadIdx.x / kWarp * taps * taps + tap], sum);
      }
    }
    __syncthreads();
    const int warps = groups / kWarp;  // of a channel
    for (int i = threadIdx.x; i < tiling.channels * taps * taps; i += kThreads) {
      const int c = i / (taps * taps), tap = i % (taps * taps);
      if (first_channel + c >= g.channels) continue;
      Sum sum = 0;
      for (int w = 0; w < warps; ++w) {
        sum += load_shared(&of_warps[(c * warps + w) * taps * taps + tap]);
      }
      if (sum != sum) {
        sum = part_again<index, conv::Layout::kNCHW>(g, part, tap, first_channel + c);
      }
      g.partial[(part * taps * taps + tap) * g.channels + first_channel + c] = sum;
    }
  }
}

}  // namespace tf_dwbp::gpu
