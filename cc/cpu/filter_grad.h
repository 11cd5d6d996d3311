// The filter's gradient on the CPU. See depthwise.h.
#pragma once

#include <cstdint>

#include "cc/conv/geometry.h"
#include "cc/cpu/parallel.h"

namespace tf_dwbp::cpu {

template <typename T>
int64_t filter_grad_workspace_bytes(const conv::Geometry& geometry, int64_t workers);

template <typename T>
void filter_grad(const conv::Geometry& geometry, int64_t workers, const T* input,
                 const T* out_backprop, T* result, void* workspace, const Parallel& parallel);

}  // namespace tf_dwbp::cpu
