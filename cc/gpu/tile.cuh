// Staging: a block brings the source positions that its tile meets into shared memory, each once,
// 16 bytes at a time where memory allows, by copies that occupy neither registers nor a thread.
//
// What lies outside the source is staged as zeros, so that the loops over it have no conditions.
// A product with such a zero adds nothing, unless the other factor is infinite or NaN: then the
// sum is NaN. Kernels therefore take a sum that came out as NaN again, tap by tap.
#pragma once

#include "cc/gpu/device.h"

namespace tf_dwbp::gpu {

// Along one axis: the class, and the first positions in it, of a block's tile.
struct TileStart {
  int64_t residue;
  int64_t result;
  int64_t source;
};

template <int result_step, int source_step>
__device__ TileStart start_of(int64_t index, int64_t tiles_of_class, int size) {
  const Divided divided = divide(index, tiles_of_class);
  const int64_t result = divided.remainder * size;
  return {divided.quotient, result, result * result_step / source_step};
}

// Where in memory the positions lie: from one source position of a class to the next.
__device__ inline int64_t source_position(const WindowAxis& axis, int64_t residue, int64_t s) {
  return axis.source_origin + residue + axis.step * s;
}
__device__ inline int64_t result_position(const WindowAxis& axis, int64_t residue, int64_t j) {
  return axis.result_origin + residue + axis.step * j;
}
__device__ inline bool inside(int64_t position, int64_t size) {
  return static_cast<uint64_t>(position) < static_cast<uint64_t>(size);
}

template <typename T>
__device__ bool is_aligned(const T* data, int64_t stride) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(stride * sizeof(T))) % 16 == 0;
}

template <typename T>
__device__ void copy_element(T* to, const T* from) {
  if constexpr (sizeof(T) >= 4) {
    copy_async<sizeof(T)>(to, from);
  } else {
    to->bits = __ldg(&from->bits);
  }
}

template <typename T>
__device__ void set_zero(T* to, int count) {
  for (int i = 0; i < count; ++i) to[i] = T{};
}

// The source that a tile meets, as rows of T in shared memory, tile.pitch apart.
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
    constexpr int kVector = 16 / sizeof(T);
    if (is_aligned(image, channels)) {
      nhwc_by<kVector>(shared, image, channels, first_channel, lanes * word / kVector);
    } else {
      nhwc_by<word>(shared, image, channels, first_channel, lanes);
    }
  }

  // NCHW: one plane. Rows begin at column_offset().
  __device__ void nchw(T* shared, const T* plane) const {
    constexpr int kVector = 16 / sizeof(T);
    const int offset = column_offset(plane);
    const int64_t first = source_position(width, x.residue, x.source) - offset;
    const bool vectors = is_aligned(plane, width.source) && width.step == 1;
    // Where rows are not staged by vectors, nothing comes before their first position.
    const int unit = vectors ? kVector : 1;
    const int units = vectors ? tile.pitch / kVector : tile.source_columns;
    for (Walk at(threadIdx.x, blockDim.x, units); at.row < tile.source_rows; at.next()) {
      T* const to = shared + at.row * tile.pitch + at.column * unit;
      const int64_t sy = source_position(height, y.residue, y.source + at.row);
      const int64_t sx = first + width.step * at.column * unit;
      if (!inside(sy, height.source) || !inside(sx, width.source)) {
        set_zero(to, unit);
      } else if (vectors) {
        copy_async<16>(to, plane + sy * width.source + sx);
      } else {
        copy_element(to, plane + sy * width.source + sx);
      }
    }
  }

  // Columns that are staged before the first that is wanted, so that vectors are whole.
  __device__ int column_offset(const T* plane) const {
    constexpr int kVector = 16 / sizeof(T);
    if (width.step != 1 || !is_aligned(plane, width.source)) return 0;
    return static_cast<int>(source_position(width, x.residue, x.source) & (kVector - 1));
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
      T* const to = shared + at.row * tile.pitch + at.column * units * unit + part;
      const int64_t sy = source_position(height, y.residue, y.source + at.row);
      const int64_t sx = source_position(width, x.residue, x.source + at.column);
      const bool there = inside(sy, height.source) && inside(sx, width.source);
      const T* const from = there ? image + (sy * width.source + sx) * channels + channel : nullptr;
      if constexpr (unit * sizeof(T) == 16) {
        if (there && channel < channels) {
          copy_async<16>(to, from);
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
