// The gather kernel for NCHW: see gather.cuh. Neighbouring threads are neighbouring columns, of one
// plane or several small ones. Each has a vector of columns where windows are dense.
#pragma once

#include "cc/gpu/kernels/gather.cuh"
#include "cc/gpu/kernels/plane.cuh"

namespace tf_dwbp::gpu {

// Stores what exists of a thread's tile, `unit` columns at once: where a row begins, and how many
// columns there are, are multiples of that. Conditions come before the first store, and each goes
// to an address of its own: nothing waits for the store before it.
template <int most, int rows, int columns, typename T>
__device__ __forceinline__ void store_tile(T* to, int64_t row_step, const Along& y, const Along& x,
                                           int unit,
                                           const AccumulatorOf<T> (&sums)[rows][columns][1]) {
  if constexpr (most > 1) {
    if (unit < most) {
      return store_tile<most / 2, rows, columns>(to, row_step, y, x, unit, sums);
    }
  }
  T* places[rows];
  bool row_there[rows], column_there[columns / most];
#pragma unroll
  for (int row = 0; row < rows; ++row) {
    places[row] = to + row * row_step;
    row_there[row] = inside(y.first + y.step * row, y.size);
  }
#pragma unroll
  for (int part = 0; part < columns / most; ++part) {
    column_there[part] = inside(x.first + x.step * part * most, x.size);
  }
#pragma unroll
  for (int row = 0; row < rows; ++row) {
#pragma unroll
    for (int part = 0; part < columns / most; ++part) {
      Vector<T, most> made;
#pragma unroll
      for (int i = 0; i < most; ++i) {
        made.values[i] = Finish<T>::round(sums[row][part * most + i][0]);
      }
      if (row_there[row] && column_there[part]) {
        store_vector(places[row] + x.step * part * most, made);
      }
    }
  }
}

template <typename T, int index>
__global__ void __launch_bounds__(kThreads,
                                  blocks_told<T>(gather_blocks(kGatherConfigurations[index],
                                                               conv::Layout::kNCHW, sizeof(T))))
    gather_nchw(const __grid_constant__ GatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = config.taps, kTaps = taps * taps;
  constexpr ThreadTile thread = gather_tile(config, conv::Layout::kNCHW, sizeof(T));
  constexpr int rows = thread.rows, columns = thread.columns;
  constexpr int rs = config.result_step, ss = config.source_step;
  constexpr int kFilterStride = filter_stride(config, sizeof(Sum));
  const GatherTiling& tiling = g.tiling;
  const Tile& tile = tiling.tile;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int plane_elements = tile.source_rows * tile.row_stride;
  Sum* const filters = reinterpret_cast<Sum*>(shared + tiling.planes * plane_elements);
  const int64_t all_planes = g.batch * g.channels;
  const int64_t source_plane = int64_t{g.height.source} * g.width.source;
  const int64_t result_plane = int64_t{g.height.result} * g.width.result;

  for (int64_t block = blockIdx.x; block < tiling.blocks; block += gridDim.x) {
    // The tile before this one has been read.
    if (block != blockIdx.x) __syncthreads();
    const Divided by_x = divide(block, tile.across * g.width.phases());
    const Divided by_y = divide(by_x.quotient, tile.down * g.height.phases());
    const TileStart sy = start_of<rs, ss>(by_y.remainder, tile.down, tile.rows);
    const TileStart sx = start_of<rs, ss>(by_x.remainder, tile.across, tile.columns);
    const int64_t first_plane = by_y.quotient * tiling.planes;
    const int64_t left = all_planes - first_plane;
    const int planes = left < tiling.planes ? static_cast<int>(left) : tiling.planes;
    const auto staging = source_tile<T>(config, tile, g.height, g.width, sy, sx);
    staging.stage(shared, g.source + first_plane * source_plane, planes, /*images=*/1,
                  /*image_size=*/0, /*image_stride=*/0, staging.unit(g.source));
    const int64_t first_channel = divide(first_plane, g.channels).remainder;
#pragma unroll 4
    for (int i = threadIdx.x; i < planes * kFilterStride; i += blockDim.x) {
      const int p = i / kFilterStride, tap = i - p * kFilterStride;
      int64_t channel = first_channel + p;
      while (channel >= g.channels) channel -= g.channels;
      const FilterOf<taps, T> f{g.filter + channel, g.channels, g.reversed};
      store_shared(&filters[i], tap < kTaps ? f(tap) : Sum{0});
    }
    wait_for_copies();
    __syncthreads();

    const T* const first_staged = shared + offset_of<T>(config, g.width, sx);
    for (Walk at(threadIdx.x, blockDim.x, tile.thread_columns); at.row < planes * tile.thread_rows;
         at.next()) {
      const int p = at.row / tile.thread_rows, row = at.row - p * tile.thread_rows;
      const int64_t plane = first_plane + p;
      Sum filter[kTaps][1];
      load_filter<kTaps>(filters + p * kFilterStride, filter);
      const T* const staged = first_staged + p * plane_elements +
                              row * rows * rs / ss * tile.row_stride +
                              at.column * columns * rs / ss;
      Sum sums[rows][columns][1] = {};
      with_lead<taps, rs, ss>(g.width, [&](auto lead) {
        constexpr int kLead = decltype(lead)::value;
#pragma unroll
        for (int y = 0; y < extent(config, rows); ++y) {
          Sum met[extent(config, columns)][1];
          load_row<kLead, tail(config, kLead)>(staged + y * tile.row_stride, met);
          add_row<index>(y, met, filter, sums);
        }
      });
      const uint64_t again = has_nonfinite(filter) ? nans(sums) : 0;
      int64_t channel = first_channel + p;
      while (channel >= g.channels) channel -= g.channels;
      Finish<T>::all(sums, channel, 1, g.epilogue);

      const int jy = sy.result + row * rows, jx = sx.result + at.column * columns;
      const int first_y = result_position(g.height, sy.phase, jy);
      const int first_x = result_position(g.width, sx.phase, jx);
      T* const result = g.result + plane * result_plane;
      // Neighbours in the tile are neighbours in memory, but for those of a phase.
      const int unit = g.width.phase_stride == 1
                           ? aligned_elements(g.result, g.width.result | first_x, columns)
                           : 1;
      store_tile<columns, rows, columns>(result + int64_t{first_y} * g.width.result + first_x,
                                         int64_t{g.height.phase_stride} * g.width.result,
                                         {first_y, g.height.phase_stride, g.height.result},
                                         {first_x, g.width.phase_stride, g.width.result}, unit,
                                         sums);
      for (uint64_t bits = again; bits != 0; bits &= bits - 1) {
        const int bit = __ffsll(static_cast<long long>(bits)) - 1;
        const int x = bit % columns, y = bit / columns;
        const int ny = first_y + g.height.phase_stride * y;
        const int nx = first_x + g.width.phase_stride * x;
        if (!inside(ny, g.height.result) || !inside(nx, g.width.result)) continue;
        const Sum sum = sum_again<index, T>(g.height, g.width, sy.phase, sx.phase, jy + y, jx + x,
                                            g.source + plane * source_plane, g.width.source, 1,
                                            {g.filter + channel, g.channels, g.reversed});
        Finish<T>::one(result + int64_t{ny} * g.width.result + nx, sum, channel, g.epilogue);
      }
    }
  }
}

}  // namespace tf_dwbp::gpu
