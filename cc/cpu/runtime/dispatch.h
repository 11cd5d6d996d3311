// The kernels of the instruction set in use.
#pragma once

#include "cc/cpu/kernels/kernels.h"
#include "cc/cpu/runtime/isa.h"

namespace tf_dwbp::cpu {

#if defined(TF_DWBP_COUNT_KERNELS)
// For tests: the same kernels, each behind a function that counts its calls.
const Dispatch& dispatch();
#else
inline const Dispatch& dispatch() { return *isa().kernels; }
#endif

template <typename T>
const Kernels<T>& kernels() {
  return dispatch().of(T());
}

// Lanes of a vector of the type's accumulators.
template <typename T>
int64_t lanes() {
  return dispatch().vector_bytes / sizeof(AccumulatorOf<T>);
}

}  // namespace tf_dwbp::cpu
