// Where finished sums become stored elements: the one place for what may happen to them on the way,
// an epilogue, then rounding.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/kernels/activation.cuh"

namespace tf_dwbp::gpu {

// All kernels that write a result end here. They say which channel of the result a sum is of; where
// there is no epilogue, it costs nothing.
template <typename T, Callers callers = Callers::kTiled>
struct Finish {
  using Sum = AccumulatorOf<T>;

  __device__ static T round(Sum sum) {
    T made;
    narrow(sum, &made);
    return made;
  }

  __device__ static void one(T* to, Sum sum, int64_t channel, const Epilogue<T>& epilogue) {
    *to = round(epilogue.empty() ? sum : finished<callers>(epilogue, sum, channel));
  }

  // What an epilogue makes of a thread's tile of sums, of adjacent channels from `channel` on,
  // `count` of which exist. Apart from the stores, so that these stay short.
  template <int rows, int columns, int n>
  __device__ __forceinline__ static void all(Sum (&sums)[rows][columns][n], int64_t channel,
                                             int64_t count, const Epilogue<T>& epilogue) {
    if (epilogue.empty()) return;
#pragma unroll
    for (int y = 0; y < rows; ++y) {
#pragma unroll
      for (int x = 0; x < columns; ++x) {
#pragma unroll
        for (int i = 0; i < n; ++i) {
          if (i < count) sums[y][x][i] = finished<callers>(epilogue, sums[y][x][i], channel + i);
        }
      }
    }
  }

  // Rounds n neighbours and stores the first `count` of them; as one, if `together`, where memory
  // is aligned for that and all exist.
  template <int n>
  __device__ __forceinline__ static void store(T* to, const Sum (&sums)[n], bool together,
                                               int64_t count) {
    Vector<T, n> made;
#pragma unroll
    for (int i = 0; i < n; ++i) made.values[i] = round(sums[i]);
    if constexpr (n > 1) {
      if (!together) {
#pragma unroll
        for (int i = 0; i < n; ++i) {
          if (i < count) to[i] = made.values[i];
        }
        return;
      }
    }
    store_vector(to, made);
  }
};

}  // namespace tf_dwbp::gpu
