// The forward op and the input gradient from packed tiles of the source: for every problem. A few
// hundred KB of workspace for each worker and the packed filter; more only where a single row of
// the source for one vector of channels takes more than that.
#pragma once

#include <string>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

std::string packed_declines(const conv::Problem& problem);
PlanPointer plan_packed(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
