// The ops in NCHW by columns: whole planes, or bands of them, are staged as they lie in memory, and
// each thread goes down a column of the result. See kernels/strips.cuh.
#pragma once

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

std::string strips_decline(const conv::Problem& problem);
PlanPointer plan_strips(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
