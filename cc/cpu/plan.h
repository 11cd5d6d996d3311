// How a problem will be computed: a value, made once, run any number of times.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cc/conv/problem.h"
#include "cc/conv/tensors.h"
#include "cc/cpu/runtime/parallel.h"

namespace tf_dwbp::cpu {

using conv::Tensors;

class Plan {
 public:
  // Threads that may work on a call at the same time: `workers` at most. How the work is cut, and
  // so the workspace, depends on their number; the bits of the result do not.
  Plan(const conv::Problem& problem, int64_t workers) : problem(problem), workers(workers) {}
  virtual ~Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const conv::Problem problem;
  const int64_t workers;

  const char* implementation = "";  // its name

  // What run() wants as workspace.
  int64_t workspace_bytes = 0;

  // Writes every element of the result. Any number of threads may be offered. Calls may run at the
  // same time, each with a workspace of its own.
  virtual void run(const Tensors& tensors, const Parallel& parallel) const = 0;

  // How the work is cut, in words and numbers, for people.
  virtual std::string describe() const = 0;
};

using PlanPointer = std::unique_ptr<Plan>;

}  // namespace tf_dwbp::cpu
