// Whatever no configuration fits: any stride, dilation, filter and multiplier, through the caches.
#pragma once

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

std::string general_declines(const conv::Problem& problem);
PlanPointer plan_general(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
