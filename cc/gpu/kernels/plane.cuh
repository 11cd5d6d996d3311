// Staging in NCHW: see tile.cuh. A position is one element. The planes of a block follow each
// other. A staged row is whole vectors, and begins with up to a vector less one of elements that
// lie before its first position, so that vectors, or parts of them, are copied as they lie in
// memory.
#pragma once

#include <type_traits>

#include "cc/gpu/kernels/tile.cuh"

namespace tf_dwbp::gpu {

// Along one axis: where a tile begins in a tensor of `size` positions, and how far its neighbouring
// positions are apart there.
struct Along {
  int first;
  int step;
  int size;
};

// Positions of a tensor's planes that are staged: rows x columns, the first of them `offset`
// elements behind a staged row's start.
template <typename T>
struct PlaneTile {
  static constexpr int kVector = kVectorBytes / sizeof(T);

  Along y;
  Along x;
  int rows;
  int columns;
  int row_stride;  // staged
  int offset;

  // The elements that are copied at once, from planes that begin at `data`.
  __device__ int unit(const T* data) const {
    if (x.step != 1) return 1;
    return aligned_elements(data, x.size | (x.first - offset), kVector);
  }

  // Copies `planes` planes, which follow each other in memory, of each of `images` images, where
  // they lie `image_size` elements apart; staged, images lie image_stride apart.
  template <int most = kVector>
  __device__ void stage(T* shared, const T* data, int planes, int images, int64_t image_size,
                        int image_stride, int unit) const {
    if constexpr (most > 1) {
      if (unit < most) {
        return stage<most / 2>(shared, data, planes, images, image_size, image_stride, unit);
      }
    }
    stage_by<most>(shared, data, planes, images, image_size, image_stride);
  }

 private:
  // Threads are neighbours along a row, then down a plane. Where a block has a thread for each of a
  // plane's places, they keep them in all planes; or else they go down one after the other.
  template <int unit>
  __device__ void stage_by(T* shared, const T* data, int planes, int images, int64_t image_size,
                           int image_stride) const {
    const int begin = offset & -unit;
    const int units = (offset + columns - begin + unit - 1) / unit;  // of a row
    int first_unit = threadIdx.x, row = 0, plane = 0, rows_at_once = 1, planes_at_once = 0;
    if (static_cast<int>(blockDim.x) >= 2 * units) {
      rows_at_once = blockDim.x / units;
      row = threadIdx.x / units;
      first_unit -= row * units;
      planes_at_once = rows_at_once / rows;
      if (planes_at_once > 0) {
        plane = row / rows;
        row -= plane * rows;
      }
      if (planes_at_once > 0 ? plane >= planes_at_once : row >= rows_at_once) return;
    }
    const int64_t row_size = int64_t{y.step} * x.size, plane_size = int64_t{y.size} * x.size;
    const int plane_stride = rows * row_stride;
    for (int at = first_unit; at < units; at += blockDim.x) {
      const int sx = x.first + x.step * (begin - offset + at * unit);
      const int sy = y.first + y.step * row;
      const bool column_there = inside(sx, x.size);
      const bool there = column_there && inside(sy, y.size);
      T* to = shared + plane * plane_stride + row * row_stride + begin + at * unit;
      const T* from = data + plane * plane_size + int64_t{sy} * x.size + sx;
      for (int image = 0; image < images; ++image, to += image_stride, from += image_size) {
        if (planes_at_once > 0) {
          stage_lines<unit>(to, planes_at_once * plane_stride, plane, planes_at_once, planes,
                            [&, next = from](bool* exists) mutable {
                              const T* const here = next;
                              *exists = there;
                              next += planes_at_once * plane_size;
                              return here;
                            });
          continue;
        }
        for (int p = 0; p < planes; ++p) {
          stage_lines<unit>(to + p * plane_stride, rows_at_once * row_stride, row, rows_at_once,
                            rows,
                            [&, next = from + p * plane_size, line = sy](bool* exists) mutable {
                              const T* const here = next;
                              *exists = column_there && inside(line, y.size);
                              next += rows_at_once * row_size;
                              line += rows_at_once * y.step;
                              return here;
                            });
        }
      }
    }
  }
};

// Where the first position of a tile is, in a staged row (see staged_offset()); where windows are
// not read by vectors, as it lies in memory.
template <typename T>
__device__ int offset_of(const Configuration& c, const WindowAxis& width, const TileStart& x) {
  constexpr int kVector = kVectorBytes / sizeof(T);
  if (reads_vectors(c)) return staged_offset(lead_of(c, width), kVector);
  return width.phase_stride == 1 ? source_position(width, x.phase, x.source) & (kVector - 1) : 0;
}

// The source of a tile, and what is read beside it.
template <typename T>
__device__ PlaneTile<T> source_tile(const Configuration& c, const Tile& tile,
                                    const WindowAxis& height, const WindowAxis& width,
                                    const TileStart& y, const TileStart& x) {
  const int lead = lead_of(c, width);
  const int before = reads_vectors(c) ? beside_lead(lead) : 0;
  const int after = reads_vectors(c) ? beside_tail(c, lead) : 0;
  return {{source_position(height, y.phase, y.source), height.phase_stride, height.source},
          {source_position(width, x.phase, x.source) - width.phase_stride * before,
           width.phase_stride, width.source},
          tile.source_rows,
          tile.source_columns + before + after,
          tile.row_stride,
          offset_of<T>(c, width, x) - before};
}

// Loads n elements, as vectors of at most kVectorBytes; `from` is aligned to them.
template <int n, typename T, typename Sum>
__device__ __forceinline__ void load_elements(const T* from, Sum* to) {
  constexpr int kVector = kVectorBytes / sizeof(T), kAtOnce = n < kVector ? n : kVector;
  if constexpr (n > 0) {
#pragma unroll
    for (int first = 0; first < n; first += kAtOnce) {
      const auto loaded = load_shared<kAtOnce>(from + first);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) to[first + i] = widen(loaded.values[i]);
    }
  }
}

// A plane's filter, which lies in shared memory as whole vectors.
template <int taps, typename Sum>
__device__ __forceinline__ void load_filter(const Sum* from, Sum (&filter)[taps][1]) {
  constexpr int kVector = kVectorBytes / sizeof(Sum);
#pragma unroll
  for (int first = 0; first < taps; first += kVector) {
    const auto loaded = load_shared<kVector>(from + first);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      if (first + i < taps) filter[first + i][0] = loaded.values[i];
    }
  }
}

// What a row of a thread's windows meets: `columns` elements, from `from` on, of which `lead` come
// before whole vectors; with a lead below 0, one by one.
template <int lead, int tail, int columns, typename T, typename Sum>
__device__ __forceinline__ void load_row(const T* from, Sum (&row)[columns][1]) {
  if constexpr (lead >= 0) {
    constexpr int kBefore = read_for(lead), kAfter = read_for(tail);
    constexpr int kMiddle = columns - lead - tail;
    Sum read[kBefore + kMiddle + kAfter];
    load_elements<kBefore>(from + lead - kBefore, read);
    load_elements<kMiddle>(from + lead, read + kBefore);
    load_elements<kAfter>(from + lead + kMiddle, read + kBefore + kMiddle);
#pragma unroll
    for (int i = 0; i < columns; ++i) row[i][0] = read[kBefore - lead + i];
  } else {
#pragma unroll
    for (int i = 0; i < columns; ++i) row[i][0] = widen(load_shared(from + i));
  }
}

// Calls run(lead) with what lead_of() says, known when it is compiled; with -1 if windows are not
// read by vectors.
template <int taps, int result_step, int source_step, typename Run>
__device__ __forceinline__ void with_lead(const WindowAxis& width, Run run) {
  constexpr Configuration c{taps, result_step, source_step};
  if constexpr (!reads_vectors(c)) {
    run(std::integral_constant<int, -1>());
  } else if constexpr (result_step == 1) {
    run(std::integral_constant<int, least_lead(c)>());
  } else if (lead_of(c, width) == least_lead(c)) {
    run(std::integral_constant<int, least_lead(c)>());
  } else {
    run(std::integral_constant<int, least_lead(c) + 1>());
  }
}

}  // namespace tf_dwbp::gpu
