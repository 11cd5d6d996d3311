// Problems without products: a result, if it has elements, of zeros.
#pragma once

#include "cc/conv/implementations.h"
#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

using conv::declines_without_products;
using conv::zeros_declines;

PlanPointer plan_zeros(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
