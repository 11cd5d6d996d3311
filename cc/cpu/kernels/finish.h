// Where finished sums become stored elements: what may happen to them on the way. An epilogue, then
// rounding. In all of these functions a vector's lanes are channels (of one image or of several,
// see LaneMap).
#pragma once

#include "cc/cpu/kernels/activation.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

// The epilogue of a channel block's sums, of a tile's first `rows` rows. What is only added or cut
// off stays in registers.
template <typename Acc, int kRows, int kCount, typename V>
inline __attribute__((always_inline)) void apply_epilogue(const EpilogueJob<Acc>& epilogue,
                                                          int64_t channel_block,
                                                          V (&sums)[kRows][kCount], int rows) {
  if (epilogue.bias != nullptr) {
    const V bias = Lanes<Acc>::load(epilogue.bias + channel_block * Lanes<Acc>::kCount);
#pragma GCC unroll 32
    for (int i = 0; i < kRows * kCount; ++i) sums[i / kCount][i % kCount] += bias;
  }
  if (is_cut(epilogue.activation)) {
    const V low = V{} + epilogue.low, high = V{} + epilogue.high;
#pragma GCC unroll 32
    for (int i = 0; i < kRows * kCount; ++i) {
      V& sum = sums[i / kCount][i % kCount];
      sum = sum < low ? low : sum;
      sum = sum > high ? high : sum;
    }
    return;
  }
  // A copy, since sums whose address a function knows would be kept in memory all the time.
  V copies[kRows * kCount];
#pragma GCC unroll 32
  for (int i = 0; i < kRows * kCount; ++i) copies[i] = sums[i / kCount][i % kCount];
  activate(epilogue, copies, rows * kCount);
#pragma GCC unroll 32
  for (int i = 0; i < kRows * kCount; ++i) sums[i / kCount][i % kCount] = copies[i];
}

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
