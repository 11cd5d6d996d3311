// The gradient of depthwise convolution with respect to its input, on the CPU.
#pragma once

#include <cstdint>

#include "cc/conv/geometry.h"
#include "cc/cpu/element.h"
#include "cc/cpu/parallel.h"

namespace tf_dwbp::cpu {

// The bytes that input_grad() wants as `workspace`. A few hundred KB for each worker and the
// filter once more; more only where a single row of out_backprop for one vector of channels takes
// more than that.
template <typename T>
int64_t input_grad_workspace_bytes(const conv::Geometry& geometry, int64_t workers);

// Writes every element of `input_grad`:
//   input_grad[b, iy, ix, c] = sum over m, ky, kx of
//       filter[ky, kx, c, m] * out_backprop[b, oy, ox, c * multiplier + m],
// where oy * stride + ky * dilation = iy + pad_before, likewise ox, and both lie inside
// out_backprop; what lies outside takes no part, so that an Inf or NaN in the filter stays with
// the pixels that it met in the forward pass. filter is [ky, kx, c, m]; the other two are NHWC
// or NCHW. Each sum is taken in the order of m, ky, kx: the same bits from any number of threads.
//
// T is Half, Bfloat16, float or double. The workspace is aligned to 64 bytes.
template <typename T>
void input_grad(const conv::Geometry& geometry, const T* filter, const T* out_backprop,
                T* input_grad, void* workspace, const Parallel& parallel);

}  // namespace tf_dwbp::cpu
