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
// NCHW: a position is one element. A row's stride is whole vectors, and where memory is aligned, a
// row begins with up to column_offset() elements that lie before its first position, so that
// vectors are copied as they lie in memory. The planes of a block follow each other.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/tiling.h"

namespace tf_dwbp::gpu {

// Along one axis: the phase, and the first positions in it, of a block's tile.
struct TileStart {
  int64_t phase;
  int64_t result;
  int64_t source;
};

template <int result_step, int source_step>
__device__ TileStart start_of(int64_t index, int64_t tiles_of_phase, int size) {
  const Divided divided = divide(index, tiles_of_phase);
  const int64_t result = divided.remainder * size;
  return {divided.quotient, result, result * result_step / source_step};
}

// Positions of a phase, as the tensors count them.
__device__ inline int64_t source_position(const WindowAxis& axis, int64_t phase, int64_t s) {
  return axis.source_origin + phase + axis.phase_stride * s;
}
__device__ inline int64_t result_position(const WindowAxis& axis, int64_t phase, int64_t j) {
  return axis.result_origin + phase + axis.phase_stride * j;
}
__device__ inline bool inside(int64_t position, int64_t size) {
  return static_cast<uint64_t>(position) < static_cast<uint64_t>(size);
}

template <typename T>
__device__ bool is_aligned(const T* data, int64_t stride) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(stride * sizeof(T))) %
             kVectorBytes ==
         0;
}

template <typename T>
__device__ void copy_element(T* to, const T* from) {
  if constexpr (sizeof(T) >= 4) {
    copy_async<sizeof(T)>(to, from);
  } else {
    store_shared(to, T{__ldg(&from->bits)});
  }
}

template <typename T>
__device__ void set_zero(T* to, int count) {
  for (int i = 0; i < count; ++i) store_shared(to + i, T{});
}

// The source that a tile meets, as rows of T in shared memory.
template <typename T>
struct Staging {
  const WindowAxis& height;
  const WindowAxis& width;
  const Tile& tile;
  TileStart y;
  TileStart x;

  // NHWC: `lanes` words of channels from `first_channel` on, of one image.
  template <int word>
  __device__ void nhwc(T* shared, const T* image, int64_t channels, int64_t first_channel,
                       int lanes) const {
    constexpr int kVector = kVectorBytes / sizeof(T);
    if (is_aligned(image, channels)) {
      nhwc_by<kVector>(shared, image, channels, first_channel, lanes * word / kVector);
    } else {
      nhwc_by<word>(shared, image, channels, first_channel, lanes);
    }
  }

  // NCHW: one plane. Rows begin at column_offset().
  __device__ void nchw(T* shared, const T* plane) const {
    constexpr int kVector = kVectorBytes / sizeof(T);
    const int offset = column_offset(plane);
    const int64_t first = source_position(width, x.phase, x.source) - offset;
    const bool vectors = is_aligned(plane, width.source) && width.phase_stride == 1;
    // Where rows are not staged by vectors, nothing comes before their first position.
    const int unit = vectors ? kVector : 1;
    const int units = vectors ? tile.row_stride / kVector : tile.source_columns;
    for (Walk at(threadIdx.x, blockDim.x, units); at.row < tile.source_rows; at.next()) {
      T* const to = shared + at.row * tile.row_stride + at.column * unit;
      const int64_t sy = source_position(height, y.phase, y.source + at.row);
      const int64_t sx = first + width.phase_stride * at.column * unit;
      if (!inside(sy, height.source) || !inside(sx, width.source)) {
        set_zero(to, unit);
      } else if (vectors) {
        copy_async<kVectorBytes>(to, plane + sy * width.source + sx);
      } else {
        copy_element(to, plane + sy * width.source + sx);
      }
    }
  }

  // Columns that are staged before the first that is wanted, so that vectors are whole.
  __device__ int column_offset(const T* plane) const {
    constexpr int kVector = kVectorBytes / sizeof(T);
    if (width.phase_stride != 1 || !is_aligned(plane, width.source)) return 0;
    return static_cast<int>(source_position(width, x.phase, x.source) & (kVector - 1));
  }

 private:
  // `units` of so many channels each, a power of two, make a position.
  template <int unit>
  __device__ void nhwc_by(T* shared, const T* image, int64_t channels, int64_t first_channel,
                          int units) const {
    const int part = (threadIdx.x & (units - 1)) * unit;
    const int64_t channel = first_channel + part;
    for (Walk at(threadIdx.x / units, blockDim.x / units, tile.source_columns);
         at.row < tile.source_rows; at.next()) {
      T* const to = shared + at.row * tile.row_stride + at.column * units * unit + part;
      const int64_t sy = source_position(height, y.phase, y.source + at.row);
      const int64_t sx = source_position(width, x.phase, x.source + at.column);
      const bool there = inside(sy, height.source) && inside(sx, width.source);
      const T* const from = there ? image + (sy * width.source + sx) * channels + channel : nullptr;
      if constexpr (unit * sizeof(T) == kVectorBytes) {
        if (there && channel < channels) {
          copy_async<kVectorBytes>(to, from);
        } else {
          set_zero(to, unit);
        }
      } else {
#pragma unroll
        for (int i = 0; i < unit; ++i) {
          if (there && channel + i < channels) {
            copy_element(to + i, from + i);
          } else {
            set_zero(to + i, 1);
          }
        }
      }
    }
  }
};

}  // namespace tf_dwbp::gpu
