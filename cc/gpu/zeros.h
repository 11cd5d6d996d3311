// Problems without products and bias: a result, if it has elements, of zeros.
#pragma once

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

std::string zeros_declines(const conv::Problem& problem);
PlanPointer plan_zeros(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
