// Where a configuration fits: tiles in shared memory, filter and sums in registers.
#pragma once

#include <string>

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

std::string tiled_declines(const conv::Problem& problem);
PlanPointer plan_tiled(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
