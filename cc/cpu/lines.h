// The forward op and the input gradient (and, in filter_grad.h, the filter gradient) on rows as
// they lie in memory, whatever their channels: for NCHW, and for NHWC with channels that do not
// fill a vector.
#pragma once

#include <string>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

std::string lines_declines(const conv::Problem& problem);
PlanPointer plan_lines(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
