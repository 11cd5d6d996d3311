// The gather kernel for NHWC: see gather.cuh. Neighbouring threads are neighbouring words of
// channels.
#pragma once

#include "cc/gpu/kernels/gather.cuh"

namespace tf_dwbp::gpu {

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
      for_each_row<extent(config, rows), extent(config, columns), word, Sum>(
          staged, tile.row_stride, column_stride,
          [&](int sy, const auto& row) { add_row<index>(sy, row, filter, sums); });
      const uint64_t again = nonfinite ? nans(sums) : 0;
      Finish<T>::all(sums, channel, channels_left, g.epilogue);

      const int jy = staging.y.result + at.row * rows, jx = staging.x.result + at.column * columns;
      const Place first = Place::of<rows, columns>(g.height, g.width, staging.y, staging.x, jy, jx);
      T* to = result + (int64_t{first.y} * g.width.result + first.x) * g.channels;
      if (first.all && together) {
#pragma unroll
        for (int y = 0; y < rows; ++y) {
          T* row = to;
#pragma unroll
          for (int x = 0; x < columns; ++x) {
            Finish<T>::store(row, sums[y][x], true, word);
            row += result_column;
          }
          to += result_row;
        }
      } else {
#pragma unroll
        for (int y = 0; y < rows; ++y) {
          const bool row_there = inside(first.y + g.height.phase_stride * y, g.height.result);
#pragma unroll
          for (int x = 0; x < columns; ++x) {
            if (row_there && inside(first.x + g.width.phase_stride * x, g.width.result)) {
              Finish<T>::store(to + x * result_column, sums[y][x], together, channels_left);
            }
          }
          to += result_row;
        }
      }
      for (uint64_t bits = again; bits != 0; bits &= bits - 1) {
        const int bit = __ffsll(static_cast<long long>(bits)) - 1;
        const int c = bit % word, x = bit / word % columns, y = bit / word / columns;
        const int ny = first.y + g.height.phase_stride * y;
        const int nx = first.x + g.width.phase_stride * x;
        if (c >= channels_left || !inside(ny, g.height.result) || !inside(nx, g.width.result)) {
          continue;
        }
        const Sum sum =
            sum_again<index, T>(g.height, g.width, staging.y.phase, staging.x.phase, jy + y, jx + x,
                                image + channel + c, source_row, g.channels,
                                {g.filter + channel + c, g.channels, g.reversed});
        Finish<T>::one(result + (int64_t{ny} * g.width.result + nx) * g.channels + c, sum,
                       channel + c, g.epilogue);
      }
    }
  }
}

}  // namespace tf_dwbp::gpu
