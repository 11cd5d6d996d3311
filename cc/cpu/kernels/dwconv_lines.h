// The forward op and the input gradient, lines at a time (see line_jobs.h). The scalar loop for one
// element of a line is
//
//   sum = begun[element]
//   for k in the horizontal taps:
//     for e in the sources, ascending, that meet the row:
//       if the element gathers from inside through tap k:
//         sum += filter[vertical tap of e][k][channel] * source[e][element, k]
//   result[element] = epilogue(sum)
#pragma once

#include "cc/cpu/kernels/finish.h"
#include "cc/cpu/kernels/line_jobs.h"
#include "cc/cpu/kernels/masks.h"
#include "cc/cpu/kernels/simd.h"

namespace tf_dwbp::cpu {
namespace {

// Adds to the sums of all rows what they gather through one horizontal tap. An element of a source
// is loaded once for all rows.
template <int kShift, int kTaps, bool kPlane, bool kWhole, int kSources, typename Acc, typename V>
inline __attribute__((always_inline)) void add_line_tap(const LinesJob<Acc>& job,
                                                        const Acc* const (&sources)[kSources],
                                                        const Acc* filter, int64_t at,
                                                        uint32_t bits, V (&sums)[kLinesOfTile]) {
  V taps[kTaps];
#pragma GCC unroll 8
  for (int i = 0; i < kTaps; ++i) {
    const Acc* tap = filter + i * job.filter_row_stride;
    taps[i] = kPlane ? *tap - V{} : Lanes<Acc>::load(tap);
  }
  const auto mask = mask_of(V{}, bits);
  uint32_t present = job.gather.present;
  // Or else the compiler keeps each bit in a place of its own, in memory.
  __asm__("" : "+r"(present));
#pragma GCC unroll 32
  for (int e = 0; e < kSources; ++e) {
    if ((present >> e & 1) == 0) continue;
    const V held = Lanes<Acc>::load(sources[e] + at);
#pragma GCC unroll 8
    for (int r = 0; r < kLinesOfTile; ++r) {
      const int i = r * kShift + kTaps - 1 - e;
      if (i < 0 || i >= kTaps) continue;
      if constexpr (kWhole) {
        sums[r] += taps[i] * held;
      } else {
        add_in(mask, taps[i], held, &sums[r]);
      }
    }
  }
}

// Writes a vector of each row, from element `first` of a line on.
template <typename T, typename V>
inline void store_tile(const LinesJob<AccumulatorOf<T>>& job, int64_t first, const V* sums) {
  constexpr int kLanes = Lanes<T>::kCount;
  T* result = static_cast<T*>(job.result) + first;
  const int64_t left = job.elements - first;
  const int64_t whole_rows = left >= kLanes ? job.gather.rows : job.open_rows;
  for (int64_t r = 0; r < job.gather.rows; ++r, result += job.result_row_stride) {
    if (r < whole_rows) {
      Lanes<T>::store(result, sums[r]);
    } else {
      T last[kLanes];
      Lanes<T>::store(last, sums[r]);
      __builtin_memcpy(result, last, left * sizeof(T));
    }
  }
}

// What becomes of the sums of a vector of each row: a function that all kernels share. They write
// themselves what needs no more than that.
template <typename Acc, typename V>
__attribute__((noinline)) void finish_tile(const LinesJob<Acc>& job, int64_t first,
                                           int64_t of_filter, V* copies) {
  if (job.epilogue != nullptr) {
    V(&sums)[kLinesOfTile][1] = *reinterpret_cast<V(*)[kLinesOfTile][1]>(copies);
    apply_epilogue(*job.epilogue, of_filter, sums, static_cast<int>(job.gather.rows));
  }
  if constexpr (sizeof(Acc) == sizeof(float)) {
    if (job.dtype == Dtype::kHalf) return store_tile<Half>(job, first, copies);
    if (job.dtype == Dtype::kBfloat16) return store_tile<Bfloat16>(job, first, copies);
  }
  store_tile<Acc>(job, first, copies);
}

// kPlane: all elements of a line have one channel.
template <int kShift, int kTaps, bool kPlane, typename Acc>
void dwconv_lines(const LinesJob<Acc>& job) {
  using V = typename Lanes<Acc>::Vector;
  constexpr int kLanes = Lanes<Acc>::kCount;
  constexpr int kSources = line_sources(kShift, kTaps);
  const Acc* sources[kSources];
#pragma GCC unroll 32
  for (int e = 0; e < kSources; ++e) sources[e] = job.gather.source + job.gather.sources[e];
  const bool plain = job.epilogue == nullptr && job.dtype == dtype_of(Acc());
  // The last vector first: what it has beyond the line's end is where the next row's first goes.
  // Then upwards, as prefetchers like it.
  int64_t v = job.gather.vectors - 1;
  int64_t of_filter = v % job.filter_vectors;
  for (int64_t i = 0; i < job.gather.vectors; ++i) {
    const Acc* filter = job.filter + of_filter * job.filter_vector_stride;
    V sums[kLinesOfTile];
#pragma GCC unroll 8
    for (int r = 0; r < kLinesOfTile; ++r) {
      sums[r] = job.begun == nullptr
                    ? V{}
                    : Lanes<Acc>::load(job.begun + r * job.begun_row_stride + v * kLanes);
    }
    const bool whole = v >= job.gather.whole && v < job.gather.whole_end;
    const int64_t masked = v < job.gather.whole ? v : v - (job.gather.whole_end - job.gather.whole);
    const uint16_t* masks = whole ? nullptr : job.gather.masks + masked * job.gather.tap_count;
    for (int64_t k = 0; k < job.gather.tap_count; ++k) {
      const LineTap& tap = job.gather.taps[k];
      const Acc* of_tap = filter + tap.tap * job.filter_column_stride;
      const int64_t at = tap.source + v * kLanes;
      if (whole && !kMasksAreFree) {
        add_line_tap<kShift, kTaps, kPlane, true>(job, sources, of_tap, at, 0, sums);
      } else {
        add_line_tap<kShift, kTaps, kPlane, false>(job, sources, of_tap, at, whole ? ~0u : masks[k],
                                                   sums);
      }
    }
    if (plain && (v + 1) * kLanes <= job.elements) {
      Acc* const result = static_cast<Acc*>(job.result) + v * kLanes;
#pragma GCC unroll 8
      for (int r = 0; r < kLinesOfTile; ++r) {
        if (r < job.gather.rows) Lanes<Acc>::store(result + r * job.result_row_stride, sums[r]);
      }
    } else {
      // Sums whose address a function knows would be kept in memory all the time.
      V copies[kLinesOfTile];
#pragma GCC unroll 8
      for (int r = 0; r < kLinesOfTile; ++r) copies[r] = sums[r];
      finish_tile<Acc>(job, v * kLanes, of_filter, copies);
    }
    v = i;
    of_filter = i == 0 || of_filter + 1 == job.filter_vectors ? 0 : of_filter + 1;
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
