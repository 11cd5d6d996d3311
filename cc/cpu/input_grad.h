// The gradient of depthwise convolution with respect to its input, on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cc/conv/geometry.h"
#include "cc/cpu/element.h"
#include "cc/cpu/parallel.h"

namespace tf_dwbp::cpu {

// The bytes that input_grad() wants as `workspace`, aligned like T's accumulator.
template <typename T>
int64_t input_grad_workspace_bytes(const conv::Geometry& geometry);

// Writes every element of `input_grad`:
//   input_grad[b, iy, ix, c] = sum over m, ky, kx of
//       filter[ky, kx, c, m] * out_backprop[b, oy, ox, c * multiplier + m],
// where oy * stride + ky * dilation = iy + pad_before, likewise ox, and both lie inside
// out_backprop; what lies outside takes no part, so that an Inf or NaN in the filter stays with
// the pixels that it met in the forward pass. filter is [ky, kx, c, m]; the other two are NHWC
// or NCHW. The order of each sum depends on the geometry alone: the same bits from any number
// of threads.
//
// T is Half, Bfloat16, float or double.
template <typename T>
void input_grad(const conv::Geometry& geometry, const T* filter, const T* out_backprop,
                T* input_grad, void* workspace, const ParallelFor& parallel_for);

}  // namespace tf_dwbp::cpu
