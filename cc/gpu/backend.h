// What OpKernels and XLA ask of a GPU.
#pragma once

#include "cc/gpu/depthwise.h"

namespace tf_dwbp::gpu {

struct Backend {
  using Plan = gpu::Plan;

  static conv::Error make_plan(const conv::Problem& problem, int64_t, PlanPointer* plan) {
    return gpu::make_plan(problem, plan);
  }
  // The GPU's allocator says what is too much.
  static conv::Error check_memory(const char*, const conv::Shape&, int64_t) { return ""; }
};

}  // namespace tf_dwbp::gpu
