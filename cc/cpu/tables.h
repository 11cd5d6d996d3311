// The kernels of the instruction set in use.
#pragma once

#include <type_traits>

#include "cc/cpu/kernels.h"
#include "cc/cpu/target.h"

namespace tf_dwbp::cpu {

inline const KernelTable& compiled_kernel_table() {
  switch (best_target()) {
#if defined(TF_DWBP_HAVE_AVX512)
    case Target::kAvx512:
      return kKernels_avx512;
#endif
#if defined(TF_DWBP_HAVE_AVX2)
    case Target::kAvx2:
      return kKernels_avx2;
#endif
    default:
      return kKernels_baseline;
  }
}

#if defined(TF_DWBP_COUNT_KERNELS)
// For tests: the same kernels, each behind a function that counts its calls.
const KernelTable& kernel_table();
#else
inline const KernelTable& kernel_table() { return compiled_kernel_table(); }
#endif

template <typename T>
const Kernels<T>& kernels() {
  if constexpr (std::is_same_v<T, Half>) return kernel_table().half_;
  if constexpr (std::is_same_v<T, Bfloat16>) return kernel_table().bfloat16_;
  if constexpr (std::is_same_v<T, float>) return kernel_table().float_;
  if constexpr (std::is_same_v<T, double>) return kernel_table().double_;
}

// Lanes of a vector of the type's accumulators.
template <typename T>
int64_t lanes() {
  return kernel_table().vector_bytes / sizeof(AccumulatorOf<T>);
}

}  // namespace tf_dwbp::cpu
