// The forward op and the input gradient straight from the source, without a copy: for NHWC with
// channels that fill a vector, depth multiplier 1 and few horizontal taps, which is what models
// have.
#pragma once

#include <string>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

std::string direct_declines(const conv::Problem& problem);
PlanPointer plan_direct(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
