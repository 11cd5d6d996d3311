// Depthwise convolution and its gradients on a GPU: what cc/cpu/depthwise.h says, for pointers
// into the GPU's memory. The order of each sum depends on nothing but the problem and its
// implementation: the same bits from every run and every GPU. Sums of 16-bit types are kept in
// float and rounded once.
#pragma once

#include <string>

#include "cc/conv/export.h"
#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

// A plan of the problem, by the first implementation that takes it, or by the one that TF_DWBP_IMPL
// names (see implementations.h). Returns what is wrong, empty if nothing is. Needs no GPU.
[[nodiscard]] TF_DWBP_EXPORT conv::Error make_plan(const conv::Problem& problem, PlanPointer* plan);

// Has the plan launch what writes every element of the result: see Plan::run().
//
// With TF_DWBP_VERBOSE=1 (read once) it prints a line on stderr, as the CPU does. Its milliseconds
// are those of launching: the GPU's own are not waited for.
[[nodiscard]] TF_DWBP_EXPORT conv::Error run(const Plan& plan, const Tensors& tensors,
                                             void* stream);

// What is known of how a problem would be computed on the current device: see conv::explain.
std::string explain(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
