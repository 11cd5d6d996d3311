// Where finished sums become stored elements: the one place for what may happen to them on the way,
// an epilogue, then rounding.
#pragma once

#include "cc/gpu/device.h"
#include "cc/gpu/kernels/activation.cuh"

namespace tf_dwbp::gpu {

// All kernels that write a result end here. They say which channel of the result a sum is of; where
// there is no epilogue, it costs nothing.
template <typename T>
struct Finish {
  using Sum = AccumulatorOf<T>;

  __device__ static T round(Sum sum) {
    T made;
    narrow(sum, &made);
    return made;
  }

  __device__ static void one(T* to, Sum sum, int64_t channel, const Epilogue<T>& epilogue) {
    *to = round(epilogue.empty() ? sum : finished(epilogue, sum, channel));
  }

  // The first `count` of n adjacent channels, from `channel` on.
  template <int n>
  __device__ __forceinline__ static void channels(T* to, const Sum (&sums)[n], int64_t count,
                                                  int64_t channel, const Epilogue<T>& epilogue) {
    Vector<T, n> made;
    if (epilogue.empty()) {
#pragma unroll
      for (int i = 0; i < n; ++i) made.values[i] = round(sums[i]);
    } else {
#pragma unroll
      for (int i = 0; i < n; ++i) {
        made.values[i] = round(i < count ? finished(epilogue, sums[i], channel + i) : sums[i]);
      }
    }
    store(to, made, count);
  }

  // The first `count` of n adjacent positions of one channel.
  template <int n>
  __device__ __forceinline__ static void positions(T* to, const Sum (&sums)[n], int64_t count,
                                                   int64_t channel, const Epilogue<T>& epilogue) {
    Vector<T, n> made;
    if (epilogue.empty()) {
#pragma unroll
      for (int i = 0; i < n; ++i) made.values[i] = round(sums[i]);
    } else {
#pragma unroll
      for (int i = 0; i < n; ++i) made.values[i] = round(finished(epilogue, sums[i], channel));
    }
    store(to, made, count);
  }

 private:
  template <int n>
  __device__ __forceinline__ static void store(T* to, const Vector<T, n>& made, int64_t count) {
    if (n > 1 && count >= n && reinterpret_cast<uintptr_t>(to) % sizeof(made) == 0) {
      store_vector(to, made);
      return;
    }
#pragma unroll
    for (int i = 0; i < n; ++i) {
      if (i < count) to[i] = made.values[i];
    }
  }
};

}  // namespace tf_dwbp::gpu
