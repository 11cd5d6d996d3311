// Where finished sums become stored elements: the one place for what may happen to them on the way,
// rounding today, an epilogue such as a bias. In all of these functions a vector's lanes are
// channels (of one image or of several, see LaneMap).
#pragma once

#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

template <typename T>
struct Finish {
  using Acc = AccumulatorOf<T>;
  using V = typename Lanes<T>::Vector;
  static constexpr int kLanes = Lanes<T>::kCount;

  // A vector, to adjacent elements.
  static void vector(T* to, V sums) { Lanes<T>::store(to, sums); }

  // The first `count` lanes, to adjacent elements.
  static void first(T* to, const Acc* sums, int64_t count) {
    for (int64_t lane = 0; lane < count; ++lane) write(&to[lane], sums[lane]);
  }

  // The first kPart lanes, to adjacent elements.
  template <int kPart>
  static void part(T* to, const Acc* sums) {
    if constexpr (sizeof(T) == sizeof(Acc)) {
      __builtin_memcpy(to, sums, kPart * sizeof(T));
    } else {
      T narrow[kLanes];
      Lanes<T>::store(narrow, Lanes<Acc>::load(sums));
      __builtin_memcpy(to, narrow, kPart * sizeof(T));
    }
  }

  // The first `count` lanes, to elements `offsets` apart.
  static void scattered(T* to, const int64_t* offsets, int count, const Acc* sums) {
    for (int lane = 0; lane < count; ++lane) write(&to[offsets[lane]], sums[lane]);
  }

  // As scattered(), of kLanes vectors that follow each other: a lane's elements are adjacent.
  static void square(T* to, const int64_t* offsets, int count, const Acc* sums) {
    V square[kLanes];
#pragma GCC unroll 16
    for (int x = 0; x < kLanes; ++x) square[x] = Lanes<Acc>::load(sums + x * kLanes);
    transpose<kLanes>(square);
    for (int lane = 0; lane < count; ++lane) {
      Lanes<T>::store(to + offsets[lane], square[lane]);
      __builtin_prefetch(to + offsets[lane] + kCopyAheadBytes / sizeof(T), 1);
    }
  }
};

}  // namespace
}  // namespace tf_dwbp::cpu
