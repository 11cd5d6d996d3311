// The three ops on Eigen's packets: one implementation of every problem for every machine, compiled
// for the baseline alone, to be read as the definition.
//
// Threads share the work by share(), not by Eigen::ThreadPoolDevice: its parallelFor() waits until
// threads of the pool have taken what it scheduled, which they never do where all of them wait like
// this, as they may under XLA. Who calls share() does itself what nobody else has begun.
#pragma once

#include <string>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

std::string eigen_declines(const conv::Problem& problem);
PlanPointer plan_eigen(const conv::Problem& problem, int64_t workers);

}  // namespace tf_dwbp::cpu
