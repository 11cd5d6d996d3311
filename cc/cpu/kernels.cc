// The inner loops of all ops. This file is compiled once for each instruction set, so it takes no
// Eigen and no functions of the standard library, nothing that would be shared between targets.

#include "cc/cpu/kernels.h"

#include "cc/cpu/load.h"
#include "cc/cpu/simd.h"
#include "cc/cpu/store.h"
#include "cc/cpu/sum.h"

#if !defined(TF_DWBP_CPU_TARGET)
#error "Compile with -DTF_DWBP_CPU_TARGET=<a name from CPU_TARGETS in cc/sources.bzl>"
#endif

namespace tf_dwbp::cpu {
namespace {

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
constexpr Kernels<T> kernels_for(std::integer_sequence<int, kColumns...>) {
  return {load<T>, store<T>, {sum<kColumns + 1, T>...}};
}

template <typename T>
constexpr Kernels<T> kernels() {
  return kernels_for<T>(std::make_integer_sequence<int, kMaxTile>{});
}

}  // namespace

// One table of all types: the only symbol that this file gives to the linker.
#define TF_DWBP_CONCAT_(a, b) a##b
#define TF_DWBP_CONCAT(a, b) TF_DWBP_CONCAT_(a, b)
extern const KernelTable TF_DWBP_CONCAT(kKernels_, TF_DWBP_CPU_TARGET) = {
    kVectorBytes,      kernels<Half>(), kernels<Bfloat16>(), kernels<float>(),
    kernels<double>(), finite<float>,   finite<double>,
};

}  // namespace tf_dwbp::cpu
