// What the kernels for strips share. A thread has a column of a plane's result, and goes down its
// rows: what a row of the source adds to the rows of the result is added as the row comes by. So
// each element is read from shared memory once for each tap of a row, and neighbouring threads
// read neighbouring elements, whatever a plane's width is.
//
// A block stages lines, stretches of a tensor that are contiguous in memory, 16 bytes at once
// wherever they begin, those of the next image while it computes. Nothing lies between a plane's
// rows: what a thread reads beside its own is another row's end, or what was left there. Such
// elements have taps of zero, or sums that nobody takes.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/strip_tiling.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

// How far behind a multiple of kVectorBytes memory begins, in elements.
template <typename T>
__device__ __forceinline__ int beyond_vector(const T* data) {
  constexpr unsigned kVector = kVectorBytes / sizeof(T);
  return static_cast<int>(static_cast<unsigned>(reinterpret_cast<uintptr_t>(data)) / sizeof(T) &
                          (kVector - 1));
}

// A block's bands of one tensor: rows [first, end) of so many planes, a line each. A thread moves
// vectors of one line, and computes with another, its plane's.
template <typename T>
struct Lines {
  static constexpr int kVector = kVectorBytes / sizeof(T);

  int shared;      // where the first vector that the thread moves is in shared memory; -1: none
  int first;       // that vector's first element, of those of its line ...
  int step;        // ... and from one to the next
  int elements;    // of a line
  int own;         // where the line of the thread's plane is in shared memory, were it at a vector
  int own_beyond;  // how much further behind a vector that line begins than the other

  __device__ Lines(const StripLines& cut, int planes, int plane, int height, int width,
                   int first_row, int end_row) {
    const int threads = blockDim.x / planes, line = threadIdx.x / threads;
    first = (threadIdx.x - line * threads) * kVector;
    step = threads * kVector;
    elements = (end_row - first_row) * width;
    shared = line < planes ? kStripSlack + line * cut.stride + first : -1;
    own = kStripSlack + plane * cut.stride;
    own_beyond =
        static_cast<int>(static_cast<unsigned>(plane - line) * static_cast<unsigned>(height) *
                         static_cast<unsigned>(width) % kVector);
  }

  // Where the thread's line begins; `tensor` is where the first plane does.
  __device__ static int64_t offset(int planes, int height, int width, int first_row) {
    const int line = threadIdx.x / (blockDim.x / planes);
    return int64_t{height} * width * line + int64_t{first_row} * width;
  }

  // Where the line of the thread's plane is in shared memory.
  __device__ __forceinline__ int place(const T* line) const {
    return own + ((own_beyond + beyond_vector(line)) & (kVector - 1));
  }

  // Copies by vectors, as far as these lie in the tensor, which begins and ends there.
  __device__ __forceinline__ void stage(T* buffer, const T* line, const T* begin,
                                        const T* end) const {
    if (shared < 0) return;
    const int before = beyond_vector(line), all = before + elements;
    const T* from = line - before + first;
    T* to = buffer + shared;
    if (line - before >= begin && line + (elements + kVector - 1) <= end) {
#pragma unroll 1
      for (int at = first; at < all; at += step) {
        copy_async<kVectorBytes>(to, from);
        to += step;
        from += step;
      }
      return;
    }
#pragma unroll 1
    for (int at = first; at < all; at += step) {
#pragma unroll 1
      for (int i = 0; i < kVector; ++i) {
        if (from + i >= begin && from + i < end) store_shared(to + i, from[i]);
      }
      to += step;
      from += step;
    }
  }

  // The other way: of exactly the line's elements.
  __device__ __forceinline__ void store(const T* buffer, T* line) const {
    if (shared < 0) return;
    const int before = beyond_vector(line), all = before + elements;
    T* to = line - before + first;
    const T* from = buffer + shared;
#pragma unroll 1
    for (int at = first; at < all; at += step) {
      if (at >= before && at + kVector <= all) {
        store_vector(to, load_shared<kVector>(from));
      } else {
#pragma unroll 1
        for (int i = at < before ? before - at : 0; i < kVector && at + i < all; ++i) {
          to[i] = load_shared(from + i);
        }
      }
      to += step;
      from += step;
    }
  }
};

// Zeros in so many elements of shared memory, whole vectors: what no line covers is read, too.
template <typename T>
__device__ void clear_shared(T* shared, int elements) {
  constexpr int kVector = kVectorBytes / sizeof(T);
  for (int at = threadIdx.x * kVector; at < elements; at += blockDim.x * kVector) {
    store_shared(reinterpret_cast<Bits<kVectorBytes>*>(shared + at), Bits<kVectorBytes>{});
  }
}

// Where a block is among all: channels innermost, as memory is.
struct StripPlace {
  int64_t first_channel;
  int planes;
  int band;
  int first_row;  // of the result
  int end_row;
  int64_t first_image;
  int64_t end_image;

  __device__ StripPlace(const StripCut& cut, int64_t block, int64_t channels, int64_t batch,
                        int height) {
    const Divided by_groups = divide(block, cut.groups);
    const Divided by_bands = divide(by_groups.quotient, cut.bands);
    first_channel = by_groups.remainder * cut.planes;
    const int64_t left = channels - first_channel;
    planes = left < cut.planes ? static_cast<int>(left) : cut.planes;
    band = static_cast<int>(by_bands.remainder);
    first_row = band * cut.rows;
    end_row = height - first_row < cut.rows ? height : first_row + cut.rows;
    first_image = by_bands.quotient * cut.images;
    end_image = batch - first_image < cut.images ? batch : first_image + cut.images;
  }
};

}  // namespace tf_dwbp::gpu
