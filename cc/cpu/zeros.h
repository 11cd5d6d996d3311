// Problems without products: a result, if it has elements, of zeros.
#pragma once

#include <string>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

std::string zeros_declines(const conv::Problem& problem);
PlanPointer plan_zeros(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
