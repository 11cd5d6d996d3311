// What the kernels for staged windows share: any taps, strides, dilations and depth multiplier. A
// block brings the part of a tensor that its tile meets into shared memory, no halo outside the
// image with it, and each thread takes runs of a column (see staged_tiling.h): an element that is
// read is used for each position of the run.
//
// NHWC: [rows, columns, channels]. NCHW: as in memory, 16 bytes at once wherever a line begins.
#pragma once

#include <type_traits>

#include "cc/gpu/device.h"
#include "cc/gpu/kernels/tile.cuh"
#include "cc/gpu/staged_tiling.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

// Rows, or columns, [first, first + count) of a tensor.
struct Stretch {
  int first;
  int count;

  // What result positions [begin, end) gather from.
  __device__ static Stretch of(const conv::Gather& axis, int64_t begin, int64_t end) {
    const int64_t lowest = axis.lowest_source(begin);
    const int64_t highest = axis.highest_source(end - 1);
    return {static_cast<int>(lowest),
            highest < lowest ? 0 : static_cast<int>(highest - lowest + 1)};
  }
};

// Where a tile is among all: rows and columns of the result, or of out_backprop, and what is left
// of the index, an image or a block of planes.
struct StagedPlace {
  int64_t outer;
  int64_t first_row;
  int64_t first_column;
  int rows;
  int columns;

  __device__ StagedPlace(const StagedTile& tile, int64_t index, int64_t height, int64_t width) {
    const Divided by_columns = divide(index, tile.across);
    const Divided by_rows = divide(by_columns.quotient, tile.down);
    outer = by_rows.quotient;
    first_row = by_rows.remainder * tile.rows;
    first_column = by_columns.remainder * tile.columns;
    rows = static_cast<int>(height - first_row < tile.rows ? height - first_row : tile.rows);
    columns =
        static_cast<int>(width - first_column < tile.columns ? width - first_column : tile.columns);
  }
};

// Some channels or planes of a tensor in a block's shared memory.
template <typename T>
struct Staged {
  static constexpr int kVector = kVectorBytes / sizeof(T);

  T* shared;
  Stretch rows;
  Stretch columns;
  int channels;  // or planes
  // In shared memory, in elements.
  int row_stride;
  int column_stride;

  // Copies [rows, columns, channels] of an image, from the block's first channel on, of which
  // there may be fewer `left`.
  __device__ void nhwc(const T* image, int64_t image_columns, int64_t all, int64_t left) {
    column_stride = channels;
    row_stride = columns.count * channels;
    const T* const from = image + (rows.first * image_columns + columns.first) * all;
    const int unit = aligned_elements(from, all | channels, kVector);
    positions_by<kVector>(unit, from, image_columns * all, all, left);
  }

  // Where channel c of the first row and column is.
  __device__ const T* channel(int c) const { return shared + c; }

  // Copies rows of so many planes of a tensor from `plane` on.
  __device__ void nchw(const T* tensor, int64_t planes, int64_t plane, int height, bool whole) {
    column_stride = 1;
    row_stride = columns.count;
    const int64_t size = int64_t{height} * columns.count;
    const T* const end = tensor + planes * size;
    const T* from = tensor + plane * size + int64_t{rows.first} * columns.count;
    if (whole) {
      line(shared, from, channels * static_cast<int>(size), tensor, end);
      return;
    }
    const int elements = rows.count * columns.count;
#pragma unroll 1
    for (int p = 0; p < channels; ++p, from += size) {
      line(shared + p * staged_line<int>(elements, sizeof(T)), from, elements, tensor, end);
    }
  }

  // Where plane p of those is.
  __device__ const T* plane(int p, const T* tensor, int64_t plane, int height, bool whole) const {
    const int64_t size = int64_t{height} * columns.count;
    const T* const from = tensor + plane * size + int64_t{rows.first} * columns.count;
    if (whole) return shared + beyond(from) + p * static_cast<int>(size);
    return shared + p * staged_line<int>(rows.count * columns.count, sizeof(T)) +
           beyond(from + p * size);
  }

 private:
  // How far behind a vector memory begins.
  __device__ static int beyond(const T* data) {
    return static_cast<int>(static_cast<unsigned>(reinterpret_cast<uintptr_t>(data)) / sizeof(T)) &
           (kVector - 1);
  }

  // By vectors, as far as these lie in the tensor.
  __device__ static void line(T* to, const T* from, int elements, const T* begin, const T* end) {
    const int before = beyond(from);
    const T* const first = from - before;
#pragma unroll 1
    for (int at = threadIdx.x * kVector; at < before + elements; at += blockDim.x * kVector) {
      if (first + at >= begin && first + at + kVector <= end) {
        copy_async<kVectorBytes>(to + at, first + at);
        continue;
      }
#pragma unroll 1
      for (int i = at; i < at + kVector; ++i) {
        if (first + i >= begin && first + i < end) store_shared(to + i, first[i]);
      }
    }
  }

  template <int most>
  __device__ void positions_by(int unit, const T* from, int64_t row_step, int64_t column_step,
                               int64_t left) const {
    if constexpr (most > 1) {
      if (unit < most) return positions_by<most / 2>(unit, from, row_step, column_step, left);
    }
    const int units = channels / most, threads = blockDim.x;
    const int across = units < threads ? units : threads;
    const int group = threadIdx.x / across, groups = threads / across;
    if (group >= groups || columns.count == 0) return;
#pragma unroll 1
    for (int u = threadIdx.x - group * across; u < units; u += across) {
      const bool there = u * most < left;
#pragma unroll 1
      for (Walk at(group, groups, columns.count); at.row < rows.count; at.next()) {
        T* const to = shared + at.row * row_stride + at.column * column_stride + u * most;
        const T* const data = from + at.row * row_step + at.column * column_step + u * most;
        if constexpr (most * sizeof(T) >= 4) {
          copy_async<most * sizeof(T)>(to, data, there);
        } else {
          store_shared(to, there ? *data : T{});
        }
      }
    }
  }
};

}  // namespace tf_dwbp::gpu
