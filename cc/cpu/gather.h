// The forward op and the input gradient, on the CPU: each element of the result gathers elements
// of a source, times taps of the filter.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/cpu/element.h"
#include "cc/cpu/parallel.h"

namespace tf_dwbp::cpu {

// The bytes that gather() wants as `workspace`. A few hundred KB for each worker and the filter
// once more; more only where a single row of the source for one vector of channels takes more than
// that.
template <typename T>
int64_t gather_workspace_bytes(const conv::Gathering& call, int64_t workers);

// Writes every element of `result`. What lies outside the source takes no part, whatever the
// filter holds. Each sum is taken in the order of the multiplier and of rows and columns of taps:
// the same bits from any number of threads.
template <typename T>
void gather(const conv::Gathering& call, int64_t workers, const T* filter, const T* source,
            T* result, void* workspace, const Parallel& parallel);

}  // namespace tf_dwbp::cpu
