// What OpKernels and XLA ask of the CPU.
#pragma once

#include "cc/cpu/depthwise.h"
#include "cc/cpu/runtime/memory.h"

namespace tf_dwbp::cpu {

struct Backend {
  using Plan = cpu::Plan;

  static conv::Error make_plan(const conv::Problem& problem, int64_t workers, PlanPointer* plan) {
    return cpu::make_plan(problem, workers, plan);
  }
  static conv::Error check_memory(const char* name, const conv::Shape& shape,
                                  int64_t element_bytes) {
    return cpu::check_memory(name, shape, element_bytes);
  }
};

}  // namespace tf_dwbp::cpu
