// The filter gradient: on rows as they lie in memory (lines), straight from the operands (direct),
// from packed tiles of a few visits (packed), or from packed tiles of one tap at a time (tapwise).
#pragma once

#include <string>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

std::string filter_grad_lines_declines(const conv::Problem& problem);
PlanPointer plan_filter_grad_lines(const conv::Problem& problem, int64_t workers);

std::string filter_grad_direct_declines(const conv::Problem& problem);
PlanPointer plan_filter_grad_direct(const conv::Problem& problem, int64_t workers);

std::string filter_grad_packed_declines(const conv::Problem& problem);
PlanPointer plan_filter_grad_packed(const conv::Problem& problem, int64_t workers);

std::string filter_grad_tapwise_declines(const conv::Problem& problem);
PlanPointer plan_filter_grad_tapwise(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
