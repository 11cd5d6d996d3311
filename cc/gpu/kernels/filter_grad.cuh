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
// memory, since each element meets several of out_backprop's. What a thread sums are the filter's
// taps, all of them in registers, over all tiles of its block's part. At the part's end the block
// adds up its threads' sums and leaves them in the workspace; a second kernel adds the parts. Which
// terms a thread has, and the order in which anything is added, is fixed by the tiling, so that the
// same call gives the same bits, without an atomic.
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
          if (!inside(ox, g.width.result) || !inside(ix, g.width.source)) continue;
          sum += widen(input[(int64_t{iy} * g.width.source + ix) * column_stride]) *
                 widen(out[(int64_t{oy} * g.width.result + ox) * column_stride]);
        }
      }
    }
  }
  return sum;
}

// Adds to the sums of all taps what a thread's elements of out_backprop meet in a row of the input,
// sy counted from the tile's first.
template <int index, int rows, int columns, int channels, int source_columns, typename Sum>
__device__ __forceinline__ void add_products(
    int sy, const Sum (&row)[source_columns][channels], const Sum (&out)[rows][columns][channels],
    Sum (&sums)[kFilterGradConfigurations[index].taps * kFilterGradConfigurations[index].taps]
               [channels]) {
  constexpr Configuration config = kFilterGradConfigurations[index];
#pragma unroll
  for (int sx = 0; sx < source_columns; ++sx) {
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
          sums[ky * config.taps + kx][c] += out[y][x][c] * row[sx][c];
        }
      }
    }
  }
}

}  // namespace tf_dwbp::gpu
