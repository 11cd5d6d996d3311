// The inner loops of all ops. This file is compiled once for each instruction set, so it takes no
// Eigen and no functions of the standard library, nothing that would be shared between targets.

#include "cc/cpu/kernels.h"

#include "cc/cpu/direct.h"
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
constexpr int kDirectColumns = kMostDirectColumns;
#else
constexpr int kDirectColumns = 4;
#endif

template <typename Acc>
bool finite(const Acc* from, int64_t n) {
  using V = typename Lanes<Acc>::Vector;
  constexpr int kLanes = Lanes<Acc>::kCount;
  // Zero times anything finite is zero; times anything else it is NaN, and stays so in the sum.
  V zeros{};
  Acc zero = 0;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) zeros += Lanes<Acc>::load(from + i) * Acc{0};
  for (; i < n; ++i) zero += from[i] * 0;
  for (int lane = 0; lane < kLanes; ++lane) zero += zeros[lane];
  return zero == 0;
}

template <typename T, int... kColumns>
constexpr void set_sum(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->sum[kColumns] = sum<kColumns + 1, T>), ...);
}

template <int kTaps, typename T, int... kColumns>
constexpr void set_direct(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->direct[kTaps][kColumns] = direct<kTaps + 1, kColumns + 1, T>), ...);
}

template <typename T, int... kTaps>
constexpr void set_directs(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  (set_direct<kTaps>(kernels, std::make_integer_sequence<int, kDirectColumns>{}), ...);
}

template <typename T>
constexpr Kernels<T> kernels() {
  Kernels<T> made{load<T>, store<T>, {}, {}};
  set_sum(&made, std::make_integer_sequence<int, kMaxTile>{});
  set_directs(&made, std::make_integer_sequence<int, kMostDirectTaps>{});
  return made;
}

}  // namespace

// One table of all types: the only symbol that this file gives to the linker.
#define TF_DWBP_CONCAT_(a, b) a##b
#define TF_DWBP_CONCAT(a, b) TF_DWBP_CONCAT_(a, b)
extern const KernelTable TF_DWBP_CONCAT(kKernels_, TF_DWBP_CPU_TARGET) = {
    kVectorBytes,     kDirectColumns,    kernels<Half>(), kernels<Bfloat16>(),
    kernels<float>(), kernels<double>(), finite<float>,   finite<double>,
};

}  // namespace tf_dwbp::cpu
