// THE list of ways to compute an op on the CPU.
#pragma once

#include <string>
#include <vector>

#include "cc/cpu/plan.h"

namespace tf_dwbp::cpu {

struct Implementation {
  const char* name;
  // Why it cannot, or should not, compute the problem; empty if it takes it.
  std::string (*declines)(const conv::Problem& problem);
  // A plan of it for a problem that it does not decline.
  PlanPointer (*plan)(const conv::Problem& problem, int64_t workers);
};

// Those of an op, in order: the first that does not decline computes the problem. The last declines
// nothing.
const std::vector<Implementation>& implementations(conv::Op op);

// What takes a problem: the first of the list that does not decline, or the one that the
// environment variable TF_DWBP_IMPL names (it is read once). An error if that one is unknown or
// declines.
[[nodiscard]] conv::Error choose(const conv::Problem& problem, const Implementation** chosen);

}  // namespace tf_dwbp::cpu
