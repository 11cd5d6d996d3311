// What calls cost, so that threads are woken where that pays.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/conv/problem.h"
#include "cc/cpu/filter_grad_plan.h"
#include "cc/cpu/packed_filter.h"

namespace tf_dwbp::cpu {

// Cycles of a whole call: of its arithmetic, and of what it reads and writes if that comes from far
// away. Less than that is likely to be in the cache, and waking a second thread too early was seen
// to cost more than waking it too late.
double cycles_of(const conv::Problem& problem, const conv::Gathering& gathering,
                 const ChannelBlocks& blocks);
double cycles_of(const conv::Problem& problem, const FilterGradPlan& plan);
// For so many output vectors, each the sum of so many products.
double cycles_of(const conv::Problem& problem, double vectors, double products);

}  // namespace tf_dwbp::cpu
