// Where finished sums become stored elements: the one place for what may happen to them on the way,
// rounding today, an epilogue such as a bias.
#pragma once

#include "cc/gpu/device.h"

namespace tf_dwbp::gpu {

// All kernels that write a result end here. They say which channel of the result a sum is of (of
// the filter gradient: which element of the filter); where nothing asks for it, it costs nothing.
template <typename T>
struct Finish {
  using Sum = AccumulatorOf<T>;

  __device__ static T element(Sum sum, int64_t channel) {
    (void)channel;
    T made;
    narrow(sum, &made);
    return made;
  }

  __device__ static void one(T* to, Sum sum, int64_t channel) { *to = element(sum, channel); }

  // The first `count` of n adjacent channels, from `channel` on.
  template <int n>
  __device__ __forceinline__ static void channels(T* to, const Sum (&sums)[n], int64_t count,
                                                  int64_t channel) {
    Vector<T, n> made;
#pragma unroll
    for (int i = 0; i < n; ++i) made.values[i] = element(sums[i], channel + i);
    store(to, made, count);
  }

  // The first `count` of n adjacent positions of one channel.
  template <int n>
  __device__ __forceinline__ static void positions(T* to, const Sum (&sums)[n], int64_t count,
                                                   int64_t channel) {
    Vector<T, n> made;
#pragma unroll
    for (int i = 0; i < n; ++i) made.values[i] = element(sums[i], channel);
    store(to, made, count);
  }

 private:
  template <int n>
  __device__ __forceinline__ static void store(T* to, const Vector<T, n>& made, int64_t count) {
    if (n > 1 && count >= n && reinterpret_cast<uintptr_t>(to) % sizeof(made) == 0) {
      *reinterpret_cast<Vector<T, n>*>(to) = made;
      return;
    }
#pragma unroll
    for (int i = 0; i < n; ++i) {
      if (i < count) to[i] = made.values[i];
    }
  }
};

}  // namespace tf_dwbp::gpu
