// Problems without products: a result, if it has elements, of zeros.
#pragma once

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

PlanPointer plan_zeros(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
