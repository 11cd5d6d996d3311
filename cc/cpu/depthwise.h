// Depthwise convolution and its gradients with respect to input and filter, on the CPU:
//   output[b, oy, ox, c * multiplier + m] is linked by filter[ky, kx, c, m] to input[b, iy, ix, c]
//   where iy = oy * stride + ky * dilation - pad_before, likewise ix, both inside the input.
// Each op sums, for every element of its result, the products of the other two operands over the
// links that it has. What lies outside takes no part, so that an Inf or NaN stays with the
// elements that it is linked to. The filter is [ky, kx, c, m]; the other two are NHWC or NCHW.
#pragma once

#include <cstdint>

#include "cc/conv/call.h"
#include "cc/conv/export.h"
#include "cc/conv/geometry.h"
#include "cc/cpu/element.h"
#include "cc/cpu/parallel.h"
#include "cc/cpu/type.h"

namespace tf_dwbp::cpu {

// The bytes that run() wants as `workspace` for the same `workers`: that many threads at most can
// work on the call at the same time. How the work is cut, and so the workspace, depends on their
// number; the bits of the result do not.
template <typename T>
int64_t workspace_bytes(conv::Op op, const conv::Geometry& geometry, int64_t workers);

// Writes every element of `result`, which is result_of(op); `a` and `b` are the other two
// operands, in conv::Operand's order. The order of each sum depends on nothing but the geometry:
// the same bits from any number of threads. Sums of 16-bit types are kept in float and rounded
// once.
//
// `parallel` may offer any number of threads, fewer or more than `workers`.
//
// T is Half, Bfloat16, float or double. The tensors may lie at any address; the workspace is
// aligned to 64 bytes. Throws std::bad_alloc, with the result undefined, if there is no memory for
// the small things that it keeps besides.
template <typename T>
void run(conv::Op op, const conv::Geometry& geometry, int64_t workers, const T* a, const T* b,
         T* result, void* workspace, const Parallel& parallel);

// The same for a type that is known at run time.
TF_DWBP_EXPORT int64_t workspace_bytes(Type type, conv::Op op, const conv::Geometry& geometry,
                                       int64_t workers);
TF_DWBP_EXPORT void run(Type type, conv::Op op, const conv::Geometry& geometry, int64_t workers,
                        const void* a, const void* b, void* result, void* workspace,
                        const Parallel& parallel);

}  // namespace tf_dwbp::cpu
