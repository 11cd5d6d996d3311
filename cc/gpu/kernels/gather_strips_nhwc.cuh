// The forward op and the input gradient for strips in NHWC: see descent.cuh and gather.cuh. The
// threads of a warp are neighbouring channels; each has a few columns of the result, and goes down
// them. The block brings chunks of a few rows of the source into shared memory, the next one while
// it computes, and goes on from one image to the next.
#pragma once

#include "cc/gpu/kernels/descent.cuh"
#include "cc/gpu/kernels/gather.cuh"
#include "cc/gpu/strip_tiling_nhwc.h"

namespace tf_dwbp::gpu {

template <typename T>
struct GatherStripsNhwcArguments : GatherStripsNhwc {
  const T* source;
  const T* filter;
  T* result;
};

// Where a block is among all: channels innermost, as memory is.
struct StripPlaceNhwc {
  int64_t first_channel;
  int first_column;  // of the result, as the windows count
  int first_row;
  int end_row;
  int64_t first_image;
  int64_t end_image;

  __device__ StripPlaceNhwc(const StripCutNhwc& cut, int64_t block, int64_t batch, int height,
                            int columns) {
    const Divided by_channels = divide(block, cut.channel_blocks);
    const Divided by_tiles = divide(by_channels.quotient, cut.tiles);
    const Divided by_bands = divide(by_tiles.quotient, cut.bands);
    first_channel = by_channels.remainder * kWarp;
    first_column = static_cast<int>(by_tiles.remainder) * cut.groups * columns;
    first_row = static_cast<int>(by_bands.remainder) * cut.rows;
    end_row = height - first_row < cut.rows ? height : first_row + cut.rows;
    first_image = by_bands.quotient * cut.images;
    end_image = batch - first_image < cut.images ? batch : first_image + cut.images;
  }
};

// Where memory is not aligned for vectors.
template <typename T>
__device__ TF_DWBP_NOINLINE void copy_elements(T* to, const T* from, bool there) {
  for (int i = 0; i < kVectorBytes / static_cast<int>(sizeof(T)); ++i) {
    store_shared(to + i, there ? from[i] : T{});
  }
}

// A thread's strips again, sum by sum.
template <typename T, int index>
__device__ TF_DWBP_NOINLINE void strips_again_nhwc(const GatherStripsNhwcArguments<T>& g,
                                                   int64_t block) {
  constexpr int columns = strip_columns(sizeof(T));
  const StripPlaceNhwc at(g.cut, block, g.batch, g.height.result, columns);
  const int64_t channel = at.first_channel + threadIdx.x % kWarp;
  const int first = at.first_column + static_cast<int>(threadIdx.x) / kWarp * columns;
  const int64_t source_row = int64_t{g.width.source} * g.channels;
  for (int64_t image = at.first_image; image < at.end_image; ++image) {
    const T* const source = g.source + image * g.height.source * source_row + channel;
    for (int y = at.first_row; y < at.end_row; ++y) {
      for (int j = first; j < first + columns; ++j) {
        const int x = g.width.result_origin + j;
        if (!inside(x, g.width.result)) continue;
        const AccumulatorOf<T> sum = sum_again<index, T>(
            g.height, g.width, 0, 0, y - g.height.result_origin, j, source, source_row, g.channels,
            {g.filter + channel, g.channels, g.reversed});
        g.result[((image * g.height.result + y) * g.width.result + x) * g.channels + channel] =
            Finish<T>::round(sum);
      }
    }
  }
}

template <typename T, int index>
__global__ void __launch_bounds__(kStripGroups* kWarp,
                                  gather_strips_nhwc_blocks(kGatherConfigurations[index],
                                                            sizeof(T)))
    gather_strips_nhwc(const __grid_constant__ GatherStripsNhwcArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  using D = Descent<index>;
  using G = Gathered<index>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = D::taps, rs = D::rs, ss = D::ss;
  constexpr int kVector = kVectorBytes / sizeof(T), kVectors = kWarp / kVector;
  constexpr int columns = strip_columns(sizeof(T)), kMet = extent(config, columns);
  constexpr int kRows = chunk_rows(config);
  const StripCutNhwc& cut = g.cut;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int lane = threadIdx.x % kWarp, group = threadIdx.x / kWarp;
  const int channels = static_cast<int>(g.channels);
  const int source_image = g.height.source * g.width.source * channels;
  const int result_row = g.width.result * channels;
  const int origin = g.height.source_origin;
  const int vector = threadIdx.x % kVectors * kVector;
  // The first place of a chunk that the thread stages, and from one to the next.
  const Walk first_place(threadIdx.x / kVectors, 1, cut.source_columns);
  const int next_rows = static_cast<int>(blockDim.x) / kVectors / cut.source_columns;
  const int next_columns = static_cast<int>(blockDim.x) / kVectors - next_rows * cut.source_columns;
  const int next_elements = (next_rows * g.width.source + next_columns) * channels;
  const int next_row_elements = (g.width.source - cut.source_columns) * channels;
  const bool together = aligned_elements(g.source, g.channels, kVector) == kVector;

  for (int64_t block = blockIdx.x; block < cut.blocks(); block += gridDim.x) {
    const StripPlaceNhwc at(cut, block, g.batch, g.height.result, columns);
    const Rows staged = rows_staged(config, g.height, at.first_row, at.end_row);
    const int first = at.first_row - g.height.result_origin;
    const int end = at.end_row - g.height.result_origin;
    const int full = D::first_full(first), steps = D::end_step(end);
    int begin = D::first_step(first);
    if (rs == 1 && ss == 1 && begin < -origin) begin = -origin < full ? -origin : full;
    // The thread's part in staging: a vector of channels of every so many positions.
    const bool vector_there = at.first_channel + vector < channels;
    const int first_source = g.width.source_origin + at.first_column * rs / ss;
    const int end_source = first_source + cut.source_columns;
    const T* source = g.source + at.first_image * source_image + at.first_channel + vector;
    const auto stage = [&](T* to, const T* image, int step) {
      const int first_row = origin + rs * step;
      // The chunk's rows that are staged.
      const int skipped = staged.first > first_row ? staged.first - first_row : 0;
      const int rows = staged.end - first_row < kRows ? staged.end - first_row : kRows;
      const unsigned wanted = rows > skipped ? rows - skipped : 0;
      int row = first_place.row - skipped, column = first_source + first_place.column;
      const T* from =
          image + (int64_t{first_row + first_place.row} * g.width.source + column) * channels;
      to += threadIdx.x / kVectors * kWarp + vector;
      for (; row < static_cast<int>(wanted); row += next_rows) {
        if (static_cast<unsigned>(row) < wanted) {
          const bool there = vector_there && inside(column, g.width.source);
          if (together) {
            copy_async<kVectorBytes>(to, from, there);
          } else {
            copy_elements(to, from, there);
          }
        }
        to += blockDim.x / kVectors * kWarp;
        column += next_columns;
        from += next_elements;
        if (column >= end_source) {
          column -= cut.source_columns;
          from += next_row_elements;
          ++row;
        }
      }
    };
    stage(shared, source, begin);

    const int64_t channel = at.first_channel + lane;
    const bool active = channel < channels;
    Sum filter[taps * taps][1];
    const FilterOf<taps, T> f{g.filter + channel, g.channels, g.reversed};
#pragma unroll
    for (int tap = 0; tap < taps * taps; ++tap) filter[tap][0] = active ? f(tap) : Sum{0};
    // Zeros outside the image make a NaN only of such a tap.
    const bool again = has_nonfinite(filter);

    const int jx = at.first_column + group * columns;
    const int x = g.width.result_origin + jx;
    T* to_image = g.result + (at.first_image * g.height.result + at.first_row) * result_row +
                  x * channels + channel;
    bool there[columns];
#pragma unroll
    for (int c = 0; c < columns; ++c) there[c] = inside(x + c, g.width.result);
    const T* const mine = shared + group * (columns * rs / ss) * kWarp + lane;
    int parity = 0;
    for (int64_t images = at.end_image - at.first_image; images > 0; --images) {
      Sum sums[D::kSums][columns] = {};
      int to = 0;
      for (int start = begin; start < steps; start += D::kPeriod) {
        wait_for_copies();
        __syncthreads();
        T* const other = shared + (1 - parity) * cut.chunk_elements;
        if (start + D::kPeriod < steps) {
          stage(other, source, start + D::kPeriod);
        } else if (images > 1) {
          stage(other, source + source_image, begin);
        }
        const T* read = mine + parity * cut.chunk_elements;
        parity = 1 - parity;
        if (!active) continue;
#pragma unroll
        for (int i = 0; i < D::kPeriod; ++i) {
          const int t = start + i;
#pragma unroll
          for (int q = 0; q < rs; ++q) {
            if (staged.have(origin + rs * t + q)) {
              Sum row[kMet];
#pragma unroll
              for (int m = 0; m < kMet; ++m) row[m] = widen(load_shared(read + m * kWarp));
#pragma unroll
              for (int m = 0; m < kMet; ++m) {
#pragma unroll
                for (int s = 0; s < D::kSums; ++s) {
                  const int ty = D::tap(s, q);
                  if (ty < 0 || ty >= taps) continue;
#pragma unroll
                  for (int c = 0; c < columns; ++c) {
                    const int tx = G::tap(c, m);
                    if (tx < 0 || tx >= taps) continue;
                    sums[s][c] += filter[ty * taps + tx][0] * row[m];
                  }
                }
              }
            }
            read += cut.source_columns * kWarp;
          }
#pragma unroll
          for (int s = 0; s < D::kFinished; ++s) {
            const int j = D::oldest(t) + s;
            if (first <= j && j < end) {
#pragma unroll
              for (int c = 0; c < columns; ++c) {
                if (there[c]) to_image[to + c * channels] = Finish<T>::round(sums[s][c]);
              }
              to += result_row;
            }
          }
#pragma unroll
          for (int s = 0; s < D::kSums; ++s) {
#pragma unroll
            for (int c = 0; c < columns; ++c) {
              sums[s][c] = s + D::kFinished < D::kSums ? sums[s + D::kFinished][c] : Sum{0};
            }
          }
        }
      }
      source += source_image;
      to_image += g.height.result * result_row;
    }
    if (again && active) strips_again_nhwc<T, index>(g, block);
    __syncthreads();
  }
}

}  // namespace tf_dwbp::gpu
