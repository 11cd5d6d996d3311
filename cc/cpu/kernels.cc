// The inner loops of all ops. This file is compiled once for each instruction set, so it takes no
// Eigen and no functions of the standard library, nothing that would be shared between targets.

#include "cc/cpu/kernels.h"

#include "cc/cpu/direct.h"
#include "cc/cpu/filter_sum.h"
#include "cc/cpu/load.h"
#include "cc/cpu/simd.h"
#include "cc/cpu/store.h"
#include "cc/cpu/sum.h"

#if !defined(TF_DWBP_CPU_TARGET)
#error "Compile with -DTF_DWBP_CPU_TARGET=<a name from CPU_TARGETS in cc/sources.bzl>"
#endif

namespace tf_dwbp::cpu {
namespace {

// With two rows, sums and what is held have to fit the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kDirectColumns[] = {kMostDirectColumns, kMostDirectColumns};
constexpr int kDirectPairs = kMostDirectPairs;
#else
constexpr int kDirectColumns[] = {4, 3};
constexpr int kDirectPairs = 2;
#endif

template <bool kAdjacent, typename T, int... kColumns>
constexpr void set_sum(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->sum[kAdjacent][kColumns] = sum<kAdjacent, kColumns + 1, T>), ...);
}

template <int kShift, int kTaps, typename T, int... kColumns>
constexpr void set_direct(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->direct[kShift - 1][kTaps - 1][kColumns] = direct<kShift, kTaps, 0, kColumns + 1, T>),
   ...);
}

template <int kShift, typename T, int... kTaps>
constexpr void set_directs(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  constexpr auto kColumns = std::make_integer_sequence<int, kDirectColumns[kShift - 1]>{};
  (set_direct<kShift, kTaps>(kernels, kColumns), ...);
}

template <int kTaps, typename T, int... kPairs>
constexpr void set_pairs(Kernels<T>* kernels, std::integer_sequence<int, kPairs...>) {
  constexpr int kOthers = kTaps / 2;
  ((kernels->direct_pairs[kTaps - 1][kPairs] = direct<1, kTaps - kOthers, kOthers, kPairs + 1, T>),
   ...);
}

template <int kShift, typename T, int... kTaps>
constexpr void set_filter_sums(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  ((kernels->filter_sum[kShift - 1][kTaps - 1] = filter_sum<kShift, kTaps, T>), ...);
}

template <typename T>
constexpr Kernels<T> kernels() {
  Kernels<T> made{load<T>,         store<T>, {}, {}, {}, {}, filter_fold<AccumulatorOf<T>>,
                  filter_finish<T>};
  set_sum<false>(&made, std::make_integer_sequence<int, kMaxTile>{});
  set_sum<true>(&made, std::make_integer_sequence<int, kMaxTile>{});
  set_directs<1>(&made, std::integer_sequence<int, 1, 2, 3, 4, 5, 6, 7>{});
  set_directs<2>(&made, std::integer_sequence<int, 3, 5, 7>{});
  constexpr auto kPairs = std::make_integer_sequence<int, kDirectPairs>{};
  set_pairs<3>(&made, kPairs);
  set_pairs<5>(&made, kPairs);
  set_pairs<7>(&made, kPairs);
  set_filter_sums<1>(&made, std::integer_sequence<int, 1, 2, 3, 4, 5, 6, 7>{});
  set_filter_sums<2>(&made, std::integer_sequence<int, 3, 5, 7>{});
  return made;
}

}  // namespace

// One table of all types: the only symbol that this file gives to the linker.
#define TF_DWBP_CONCAT_(a, b) a##b
#define TF_DWBP_CONCAT(a, b) TF_DWBP_CONCAT_(a, b)
extern const KernelTable TF_DWBP_CONCAT(kKernels_, TF_DWBP_CPU_TARGET) = {
    kVectorBytes,
    {kDirectColumns[0], kDirectColumns[1]},
    kDirectPairs,
    kFilterColumns,
    {kFilterRows[0], kFilterRows[1], kFilterRows[2], kFilterRows[3], kFilterRows[4], kFilterRows[5],
     kFilterRows[6]},
    kernels<Half>(),
    kernels<Bfloat16>(),
    kernels<float>(),
    kernels<double>(),
};

}  // namespace tf_dwbp::cpu
