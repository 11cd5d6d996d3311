// Staging: a block brings the source positions that its tile meets into shared memory, each once,
// 16 bytes at a time where memory allows, by copies that occupy neither registers nor a thread.
//
// What lies outside the source is staged as zeros, so that the loops over it have no conditions.
// A product with such a zero adds nothing, unless the other factor is infinite or NaN: then the
// sum is NaN. Kernels therefore take a sum that came out as NaN again, tap by tap.
//
// The staged tile of a 3x3 filter and stride 1, for a result tile of 4 x 7 positions:
//
//      <- source_columns ->
//      h h h h h h h h h .      h  halo: positions that neighbouring tiles meet, too,
//      h r r r r r r r h .         or zeros outside the source
//      h r r r r r r r h .      r  what the middle tap of a result of this tile meets
//      h r r r r r r r h .      .  what is left of the row's stride
//      h r r r r r r r h .
//      h h h h h h h h h .      source_rows of these
//      <--- row_stride --->
//
// NHWC: a position is the block's channels, `lanes` words of 4 bytes next to each other (8 of a
// double); neighbouring threads read neighbouring words. A row's stride is its positions.
// NCHW: see plane.cuh.
#pragma once

#include <type_traits>

#include "cc/gpu/device.h"
#include "cc/gpu/tiling.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

// Along one axis: the phase, and the first positions in it, of a block's tile.
struct TileStart {
  int phase;
  int result;
  int source;
};

template <int result_step, int source_step>
__device__ TileStart start_of(int64_t index, int64_t tiles_of_phase, int size) {
  const Divided divided = divide(index, tiles_of_phase);
  const int result = static_cast<int>(divided.remainder) * size;
  return {static_cast<int>(divided.quotient), result, result * result_step / source_step};
}

// Positions of a phase, as the tensors count them.
__device__ inline int source_position(const WindowAxis& axis, int phase, int s) {
  return axis.source_origin + phase + axis.phase_stride * s;
}
__device__ inline int result_position(const WindowAxis& axis, int phase, int j) {
  return axis.result_origin + phase + axis.phase_stride * j;
}
__device__ inline bool inside(int position, int size) {
  return static_cast<unsigned>(position) < static_cast<unsigned>(size);
}

// The elements, up to `most`, that are copied at once from where rows of `stride` elements begin.
template <typename T>
__device__ int aligned_elements(const T* data, int64_t stride, int most) {
  const unsigned bits = static_cast<unsigned>(reinterpret_cast<uintptr_t>(data)) / sizeof(T) |
                        static_cast<unsigned>(stride) | static_cast<unsigned>(most);
  return static_cast<int>(bits & -bits);
}

// Stages every `at_once`-th of so many lines, from `line` on, n elements of each; `next` gives
// where a line begins, and whether it exists. What goes through registers is asked for some lines
// at a time, so that memory is waited for less often.
template <int n, typename T, typename Next>
__device__ __forceinline__ void stage_lines(T* to, int to_step, int line, int at_once, int lines,
                                            Next next) {
  if constexpr (n * sizeof(T) >= 4) {
#pragma unroll 4
    for (; line < lines; line += at_once) {
      bool exists;
      const T* const from = next(&exists);
      copy_async<n * sizeof(T)>(to, from, exists);
      to += to_step;
    }
  } else {
    static_assert(n == 1, "smaller than a copy");
    constexpr int kLines = 8;
    while (line < lines) {
      T loaded[kLines];
#pragma unroll
      for (int i = 0; i < kLines; ++i) {
        bool exists;
        const T* const from = next(&exists);
        loaded[i] = exists && line + i * at_once < lines ? T{__ldg(&from->bits)} : T{};
      }
#pragma unroll
      for (int i = 0; i < kLines; ++i) {
        if (line + i * at_once < lines) store_shared(to, loaded[i]);
        to += to_step;
      }
      line += kLines * at_once;
    }
  }
}

// The source that a tile meets, as rows of T in shared memory.
template <typename T>
struct Staging {
  static constexpr int kVector = kVectorBytes / sizeof(T);

  const WindowAxis& height;
  const WindowAxis& width;
  const Tile& tile;
  TileStart y;
  TileStart x;

  // NHWC: `lanes` words of channels from `first_channel` on, of one image.
  template <int word>
  __device__ void nhwc(T* shared, const T* image, int64_t channels, int64_t first_channel,
                       int lanes) const {
    const int unit = aligned_elements(image, channels, kVector);
    const int all = lanes * word;
    if (unit == kVector) {
      nhwc_by<kVector>(shared, image, channels, first_channel, all);
    } else if (word == 1 || unit > 1) {
      nhwc_by<word>(shared, image, channels, first_channel, all);
    } else {
      nhwc_by<1>(shared, image, channels, first_channel, all);
    }
  }

 private:
  // Threads are neighbours along a position's `all` channels, a power of two, then along a row;
  // each goes down its column, or every so many rows of it where rows are short.
  template <int unit>
  __device__ void nhwc_by(T* shared, const T* image, int64_t channels, int64_t first_channel,
                          int all) const {
    const int units = all / unit;
    const int part = (threadIdx.x & (units - 1)) * unit;
    const int64_t channel = first_channel + part;
    const int columns = blockDim.x / units;  // at once
    int column = threadIdx.x / units, row = 0, rows = 1;
    if (columns >= 2 * tile.source_columns) {
      rows = columns / tile.source_columns;
      row = column / tile.source_columns;
      column -= row * tile.source_columns;
      if (row >= rows) return;
    }
    const int64_t from_row = int64_t{width.source} * channels;
    const int64_t from_step = rows * height.phase_stride * from_row;
    for (; column < tile.source_columns; column += columns) {
      const int sx = source_position(width, x.phase, x.source + column);
      const int sy = source_position(height, y.phase, y.source + row);
      const bool there = inside(sx, width.source) && channel < channels;
      const T* from = image + sy * from_row + sx * channels + channel;
      int at = sy;
      stage_lines<unit>(shared + row * tile.row_stride + column * all + part,
                        rows * tile.row_stride, row, rows, tile.source_rows, [&](bool* exists) {
                          const T* const here = from;
                          *exists = there && inside(at, height.source);
                          from += from_step;
                          at += rows * height.phase_stride;
                          return here;
                        });
    }
  }
};

// NHWC: calls add(sy, row) for each row of `columns` positions that a thread's windows meet, from
// `staged` on. The stride of columns is known when it is compiled, if it is that of most calls:
// addresses are then parts of instructions.
template <int rows, int columns, int channels, typename Sum, typename T, typename Stride,
          typename Add>
__device__ __forceinline__ void for_each_row_by(const T* staged, int row_stride, Stride stride,
                                                Add add) {
#pragma unroll
  for (int sy = 0; sy < rows; ++sy) {
    Sum row[columns][channels];
#pragma unroll
    for (int sx = 0; sx < columns; ++sx) {
      const auto met = load_shared<channels>(staged + sx * stride);
#pragma unroll
      for (int c = 0; c < channels; ++c) row[sx][c] = widen(met.values[c]);
    }
    staged += row_stride;
    add(sy, row);
  }
}
template <int rows, int columns, int channels, typename Sum, typename T, typename Add>
__device__ __forceinline__ void for_each_row(const T* staged, int row_stride, int column_stride,
                                             Add add) {
  constexpr std::integral_constant<int, kMostLanes * channels> kKnown;
  if (column_stride == kKnown) {
    for_each_row_by<rows, columns, channels, Sum>(staged, row_stride, kKnown, add);
  } else {
    for_each_row_by<rows, columns, channels, Sum>(staged, row_stride, column_stride, add);
  }
}

}  // namespace tf_dwbp::gpu
