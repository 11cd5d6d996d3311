// What OpKernels and XLA ask of a GPU.
#pragma once

#include <memory>

#include "cc/conv/problem.h"
#include "cc/gpu/depthwise.h"

namespace tf_dwbp::gpu {

struct Backend {
  struct Plan {
    conv::Problem problem;
    int64_t workspace_bytes;
  };

  static conv::Error make_plan(const conv::Problem& problem, int64_t, std::unique_ptr<Plan>* plan) {
    *plan = std::make_unique<Plan>(
        Plan{problem, workspace_bytes(problem.dtype, problem.op, problem.geometry)});
    return "";
  }
  // The GPU's allocator says what is too much.
  static conv::Error check_memory(const char*, const conv::Shape&, int64_t) { return ""; }
};

}  // namespace tf_dwbp::gpu
