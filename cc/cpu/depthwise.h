// Depthwise convolution and its gradients with respect to input and filter, on the CPU:
//   output[b, oy, ox, c * multiplier + m] is linked by filter[ky, kx, c, m] to input[b, iy, ix, c]
//   where iy = oy * stride + ky * dilation - pad_before, likewise ix, both inside the input.
// Each op sums, for every element of its result, the products of the other two operands over the
// links that it has. What lies outside takes no part, so that an Inf or NaN stays with the
// elements that it is linked to. The filter is [ky, kx, c, m]; the other two are NHWC or NCHW.
//
// The order of each sum depends on nothing but the problem and its implementation: the same bits
// from any number of threads. Sums of 16-bit types are kept in float and rounded once.
#pragma once

#include <cstdint>
#include <string>

#include "cc/conv/export.h"
#include "cc/conv/problem.h"
#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

// A plan of the problem for so many workers, by the first implementation that takes it, or by the
// one that TF_DWBP_IMPL names (see implementations.h). Returns what is wrong, empty if nothing is.
[[nodiscard]] TF_DWBP_EXPORT conv::Error make_plan(const conv::Problem& problem, int64_t workers,
                                                   PlanPointer* plan);

// Has the plan write every element of the result. Throws std::bad_alloc, with the result undefined,
// if there is no memory for the small things that it keeps besides.
//
// With TF_DWBP_VERBOSE=1 (read once) it prints a line on stderr: device, instruction set,
// implementation, problem, milliseconds.
TF_DWBP_EXPORT void run(const Plan& plan, const Tensors& tensors, const Parallel& parallel);

// What is known of how a problem would be computed: implementation, plan, workspace, bytes, flops,
// and why others declined. Lines of "name: value".
std::string explain(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
