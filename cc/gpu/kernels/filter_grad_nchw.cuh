// The filter gradient's kernel for NCHW: see filter_grad.cuh. Neighbouring threads are neighbouring
// columns, a vector each; a few warps share a channel. out_backprop is staged, too: read as it lies
// in memory, it would be waited for.
#pragma once

#include "cc/gpu/kernels/filter_grad.cuh"
#include "cc/gpu/kernels/plane.cuh"

namespace tf_dwbp::gpu {

template <typename T, int index>
__global__ void __launch_bounds__(kThreads, filter_grad_blocks(kFilterGradConfigurations[index],
                                                               conv::Layout::kNCHW, sizeof(T)))
    filter_grad_nchw(const __grid_constant__ FilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kFilterGradConfigurations[index];
  constexpr int taps = config.taps, stride = config.result_step;
  constexpr ThreadTile thread = filter_grad_tile(config, conv::Layout::kNCHW, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns;
  const FilterGradTiling& tiling = g.tiling;
  const Tile& tile = tiling.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int input_elements = tile.source_rows * tile.row_stride;  // of a plane
  const int out_elements = tile.rows * tile.columns;
  T* const shared_out = shared + tiling.images * tiling.channels * input_elements;
  const int groups = kThreads / tiling.channels;
  const int own = threadIdx.x / groups, group = threadIdx.x - own * groups;
  const int64_t input_plane = int64_t{g.height.source} * g.width.source;
  const int64_t out_plane = int64_t{g.height.result} * g.width.result;

  for (int64_t block = blockIdx.x; block < tiling.parts * tiling.channel_blocks;
       block += gridDim.x) {
    const Divided by_channels = divide(block, tiling.channel_blocks);
    const int64_t part = by_channels.quotient;
    const int64_t first_channel = by_channels.remainder * tiling.channels;
    const int64_t left = g.channels - first_channel;
    const int channels = left < tiling.channels ? static_cast<int>(left) : tiling.channels;
    Sum sums[taps * taps][1] = {};
    const int64_t first = part * tiling.tiles_of_part;
    for (int64_t i = first; i < first + tiling.tiles_of_part && i < tiling.tiles; ++i) {
      const FilterGradTile<T, stride> t(g, i);
      // What was there before has been read.
      __syncthreads();
      const auto input = source_tile<T>(config, tile, g.height, g.width, t.y, t.x);
      const PlaneTile<T> out{
          {result_position(g.height, t.y.phase, t.y.result), g.height.phase_stride,
           g.height.result},
          {result_position(g.width, t.x.phase, t.x.result), g.width.phase_stride, g.width.result},
          tile.rows,
          tile.columns,
          tile.columns,
          /*offset=*/0};
      const int64_t images_left = g.batch - t.images;
      const int images =
          images_left < tiling.images ? static_cast<int>(images_left) : tiling.images;
      const int64_t plane = t.images * g.channels + first_channel;
      input.stage(shared, g.input + plane * input_plane, channels, images, g.channels * input_plane,
                  tiling.channels * input_elements, input.unit(g.input));
      out.stage(shared_out, g.out + plane * out_plane, channels, images, g.channels * out_plane,
                tiling.channels * out_elements, out.unit(g.out));
      wait_for_copies();
      __syncthreads();
      if (own >= channels) continue;
      // Rows of items, of one image after the other.
      const int offset = offset_of<T>(config, g.width, t.x);
      for (Walk at(group, groups, tile.thread_columns); at.row < tile.thread_rows * images;
           at.next()) {
        const int image = at.row / tile.thread_rows, row = at.row - image * tile.thread_rows;
        const int plane = image * tiling.channels + own;
        const T* const staged = shared + plane * input_elements + offset +
                                row * rows * stride * tile.row_stride +
                                at.column * columns * stride;
        const T* const staged_out =
            shared_out + plane * out_elements + row * rows * tile.columns + at.column * columns;
        Sum factors[rows][columns][1];
#pragma unroll
        for (int y = 0; y < rows; ++y) {
          Sum loaded[columns];
          load_elements<columns>(staged_out + y * tile.columns, loaded);
#pragma unroll
          for (int x = 0; x < columns; ++x) factors[y][x][0] = loaded[x];
        }
        with_lead<taps, stride, 1>(g.width, [&](auto lead) {
          constexpr int kLead = decltype(lead)::value;
#pragma unroll
          for (int sy = 0; sy < extent(config, rows); ++sy) {
            Sum met[extent(config, columns)][1];
            load_row<kLead, tail(config, kLead)>(staged + sy * tile.row_stride, met);
            add_products<index>(sy, met, factors, sums);
          }
        });
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
