// Widen and spread: rows of a line's elements, copied as they are or collected in a pattern (see
// line_jobs.h). The scalar loops are
//
//   for row, i in the elements:
//     to[slot of row][i] = To(from[row][i])
//     to[slot of row][i] = To(from[row][position of i])
#pragma once

#include "cc/cpu/kernels/finish.h"
#include "cc/cpu/kernels/line_jobs.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

template <typename T>
void widen(const LineRows<T, AccumulatorOf<T>>& job) {
  using Acc = AccumulatorOf<T>;
  constexpr int kLanes = Lanes<T>::kCount;
  const T* from = job.from;
  int64_t readable = job.readable;
  int64_t slot = job.first_slot;
  for (int64_t row = 0; row < job.rows; ++row) {
    Acc* to = job.to + slot * job.to_stride;
    int64_t i = 0;
    for (; i < job.elements && i + kLanes <= readable && i + kLanes <= job.writable; i += kLanes) {
      Lanes<Acc>::store(to + i, Lanes<T>::load(from + i));
      __builtin_prefetch(from + i + kCopyAheadBytes / sizeof(T));
    }
    for (; i < job.elements; ++i) to[i] = read(from + i);
    from += job.from_stride;
    readable -= job.from_stride;
    if (++slot == job.slots) slot = 0;
  }
}

template <typename From, typename To>
void spread(const SpreadJob<From, To>& job) {
  using V = typename Lanes<From>::Vector;
  constexpr int kLanes = Lanes<From>::kCount;
  static_assert(kLanes == Lanes<To>::kCount, "as many lanes of one as of the other");
  const LineRows<From, To>& rows = job.rows;
  int64_t readable = rows.readable;
  int64_t slot = rows.first_slot;
  for (int64_t row = 0; row < rows.rows; ++row) {
    const From* from = rows.from + row * rows.from_stride;
    To* to = rows.to + slot * rows.to_stride;
    int64_t at = 0;  // in the pattern
    int64_t left = readable;
    for (int64_t i = 0; i < rows.elements; i += kLanes) {
      const SpreadVector& vector = job.pattern[at];
      const int64_t reach = vector.first > vector.second ? vector.first : vector.second;
      if (vector.near && reach + kLanes <= left && i + kLanes <= rows.writable) {
        const auto index =
            __builtin_convertvector(load_bits<RawInts<4 * kLanes>>(vector.index), IndexOf<V>);
        Lanes<To>::store(to + i, pick_at(Lanes<From>::load(from + vector.first),
                                         Lanes<From>::load(from + vector.second), index));
      } else {
        for (int lane = 0; lane < kLanes && i + lane < rows.elements; ++lane) {
          const int index = vector.index[lane];
          const bool of_first = !vector.near || index < kLanes;
          write(to + i + lane,
                read(from + (of_first ? vector.first + index : vector.second + index - kLanes)));
        }
      }
      if (++at == job.pattern_vectors) {
        at = 0;
        from += job.advance;
        left -= job.advance;
        __builtin_prefetch(from + kCopyAheadBytes / sizeof(From));
      }
    }
    readable -= rows.from_stride;
    if (++slot == rows.slots) slot = 0;
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
