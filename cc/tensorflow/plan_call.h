// From a checked call to a device's plan, for OpKernels and XLA's lowerings alike.
#pragma once

#include <memory>
#include <vector>

#include "cc/conv/call.h"
#include "cc/conv/problem.h"
#include "cc/tensorflow/read_call.h"

namespace tf_dwbp {

// Plans the call, unless the device could not hold its result or its workspace.
//
// Backend is a device's, such as cpu::Backend:
//   Plan, with `problem` and `workspace_bytes`
//   conv::Error make_plan(const conv::Problem&, int64_t workers, std::unique_ptr<Plan>*)
//   conv::Error check_memory(const char* name, const conv::Shape&, int64_t element_bytes)
template <typename Backend>
absl::Status plan_call(conv::Call* call, Dtype dtype, int64_t workers,
                       std::unique_ptr<typename Backend::Plan>* plan) {
  const conv::Operand result = conv::result_of(call->op);
  const auto hold = [](const char* name, const conv::Shape& sizes, int64_t element_bytes) {
    const conv::Error error = Backend::check_memory(name, sizes, element_bytes);
    return error.empty() ? absl::OkStatus() : absl::ResourceExhaustedError(error);
  };
  absl::Status status = hold(call->name(result), call->shape(result), bytes_of(dtype));
  if (!status.ok()) return status;
  const conv::Problem problem{call->op, dtype, conv::geometry_of(*call), call->epilogue};
  status = to_status(Backend::make_plan(problem, workers, plan));
  if (!status.ok()) return status;
  return hold("the workspace", std::vector<int64_t>{(*plan)->workspace_bytes}, 1);
}

}  // namespace tf_dwbp
