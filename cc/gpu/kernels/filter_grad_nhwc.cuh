// The filter gradient's kernel for NHWC: see filter_grad.cuh. Neighbouring threads are neighbouring
// words of channels; the groups of `lanes` threads share the items of a tile.
#pragma once

#include "cc/gpu/kernels/filter_grad.cuh"

namespace tf_dwbp::gpu {

// A word of channels as it lies in memory. Taken apart where it is used, not where it is loaded:
// that would wait for it.
template <int n, typename T>
using Word = Bits<n * sizeof(T)>;

// The first `count` of a word's channels.
template <int n, typename T>
__device__ Word<n, T> load_some(const T* from, int64_t count) {
  Vector<T, n> loaded = {};
#pragma unroll
  for (int i = 0; i < n; ++i) {
    if (i < count) loaded.values[i] = from[i];
  }
  return to_bits(loaded);
}

// The elements of out_backprop of a thread's tile, from position (oy, ox) on, in steps of a phase;
// zeros where there are none, as from end_row on. `from` is where the first is, or would be. If
// `together`, a word is loaded as one; or else the first `count` of its channels.
template <int rows, int columns, int channels, typename T>
__device__ __forceinline__ void load_tile(const WindowAxis& height, const WindowAxis& width,
                                          int end_row, int oy, int ox, const T* from,
                                          int64_t column_stride, bool together, int64_t count,
                                          Word<channels, T> (&tile)[rows][columns]) {
  const int64_t row_step = int64_t{height.phase_stride} * width.result * column_stride;
  const int64_t column_step = width.phase_stride * column_stride;
  if (count <= 0) end_row = 0;
#pragma unroll
  for (int y = 0; y < rows; ++y) {
    const T* at = from;
    const bool row_there = oy < end_row;
    int column = ox;
    if (channels == 1 || together) {
#pragma unroll
      for (int x = 0; x < columns; ++x) {
        tile[y][x] = {};
        if (row_there && column < width.result) {
          check_aligned(at, sizeof(Word<channels, T>));
          tile[y][x] = *reinterpret_cast<const Word<channels, T>*>(at);
        }
        at += column_step;
        column += width.phase_stride;
      }
    } else {
#pragma unroll
      for (int x = 0; x < columns; ++x) {
        tile[y][x] = row_there && column < width.result ? load_some<channels>(at, count)
                                                        : Word<channels, T>{};
        at += column_step;
        column += width.phase_stride;
      }
    }
    oy += height.phase_stride;
    from += row_step;
  }
}

template <typename T, int index>
__global__ void __launch_bounds__(kThreads, filter_grad_blocks(kFilterGradConfigurations[index],
                                                               conv::Layout::kNHWC, sizeof(T)))
    filter_grad_nhwc(const __grid_constant__ FilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kFilterGradConfigurations[index];
  constexpr int taps = config.taps, stride = config.result_step;
  constexpr ThreadTile thread = filter_grad_tile(config, conv::Layout::kNHWC, sizeof(T));
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
      const auto load = [&](const Walk& at, Word<word, T>(&out)[rows][columns]) {
        const int oy = result_position(g.height, t.y.phase, t.y.result + at.row * rows);
        const int ox = result_position(g.width, t.x.phase, t.x.result + at.column * columns);
        load_tile<rows, columns, word>(g.height, g.width,
                                       at.row < tile.thread_rows ? g.height.result : 0, oy, ox,
                                       image + (int64_t{oy} * g.width.result + ox) * g.channels,
                                       g.channels, together, channels_left, out);
      };
      // While the copies are under way; later ones while products are.
      Walk at(group, groups, tile.thread_columns);
      Word<word, T> loaded[rows][columns];
      load(at, loaded);
      wait_for_copies();
      __syncthreads();
      while (at.row < tile.thread_rows) {
        const T* const staged = shared + at.row * rows * stride * tile.row_stride +
                                at.column * columns * stride * column_stride + lane * word;
        Sum out[rows][columns][word];
#pragma unroll
        for (int y = 0; y < rows; ++y) {
#pragma unroll
          for (int x = 0; x < columns; ++x) {
            const auto parts = from_bits<Vector<T, word>>(loaded[y][x]);
#pragma unroll
            for (int c = 0; c < word; ++c) out[y][x][c] = widen(parts.values[c]);
          }
        }
        at.next();
        load(at, loaded);
        for_each_row<extent(config, rows), extent(config, columns), word, Sum>(
            staged, tile.row_stride, column_stride,
            [&](int sy, const auto& row) { add_products<index>(sy, row, out, sums); });
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

}  // namespace tf_dwbp::gpu
