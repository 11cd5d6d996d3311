// THE list of ways to compute an op on a GPU.
#pragma once

#include <string>
#include <vector>

#include "cc/gpu/plan.h"

namespace tf_dwbp::gpu {

struct Implementation {
  const char* name;
  // Why it cannot compute the problem; empty if it takes it. No device is asked.
  std::string (*declines)(const conv::Problem& problem);
  // A plan of it for a problem that it does not decline.
  PlanPointer (*plan)(const conv::Problem& problem);
};

// In order: the first that does not decline computes the problem. The last takes every problem that
// has products, the first all others.
const std::vector<Implementation>& implementations();

// What takes a problem: see conv::choose.
[[nodiscard]] conv::Error choose(const conv::Problem& problem, const Implementation** chosen);

}  // namespace tf_dwbp::gpu
