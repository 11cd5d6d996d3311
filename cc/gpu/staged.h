// The ops for any taps, strides, dilations and depth multiplier, as far as a tile of theirs fits
// into shared memory. See kernels/staged.cuh.
#pragma once

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

std::string staged_declines(const conv::Problem& problem);
PlanPointer plan_staged(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
