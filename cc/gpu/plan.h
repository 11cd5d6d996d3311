// How a problem will be computed on a GPU: a value, made once, run any number of times. No CUDA in
// here, so that whoever plans and runs needs none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cc/conv/problem.h"
#include "cc/conv/tensors.h"

namespace tf_dwbp::gpu {

using conv::Tensors;

// Made without a GPU: XLA plans before it has one, and may run the program on several of different
// kinds. What depends on the device (tiles, never the workspace, nor the bits of the result) is
// chosen when a plan is first run on a device of that kind, and kept.
class Plan {
 public:
  explicit Plan(const conv::Problem& problem) : problem(problem) {}
  virtual ~Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const conv::Problem problem;

  const char* implementation = "";  // its name

  // What run() wants as workspace.
  int64_t workspace_bytes = 0;

  // Launches, on the current device and `stream` (a cudaStream_t), what writes every element of the
  // result. The tensors lie in the device's memory. Nothing is allocated there, and nothing waited
  // for. Any number of threads may run a plan at the same time, each with a workspace of its own.
  // Returns the text of what is wrong, empty if nothing is: the CUDA runtime's errors, of this
  // launch or left behind by an earlier one.
  [[nodiscard]] virtual conv::Error run(const Tensors& tensors, void* stream) const = 0;

  // How the work is cut, in words and numbers, for people.
  virtual std::string describe() const = 0;
};

using PlanPointer = std::unique_ptr<Plan>;

}  // namespace tf_dwbp::gpu
