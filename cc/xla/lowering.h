// From the ops to XLA: a call is checked as everywhere, and becomes a custom call, whose handler
// lands in the kernels of cc/cpu or cc/gpu. XLA's headers take half a minute to compile: this one
// has none of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cc/conv/call.h"
#include "cc/tensorflow/plan_call.h"

namespace tf_dwbp::xla {

// XLA's devices.
enum class Device { kCpu, kGpu };

// What becomes of a call on a device.
struct Planned {
  std::string problem;  // as text, for the handler, which makes the plan anew, in the same way
  int64_t workspace_bytes = 0;
};

using Planner = absl::Status (*)(conv::Call* call, Dtype dtype, int64_t workers, Planned* planned);

// Backend is a device's (see plan_call.h).
template <typename Backend>
absl::Status plan_for(conv::Call* call, Dtype dtype, int64_t workers, Planned* planned) {
  std::unique_ptr<typename Backend::Plan> plan;
  const absl::Status status = plan_call<Backend>(call, dtype, workers, &plan);
  if (status.ok()) *planned = {to_text(plan->problem), plan->workspace_bytes};
  return status;
}

// Registers what XLA makes of the ops on a device, unless another copy of the library has. Returns
// whether it did.
bool register_lowerings(Device device, Planner planner);

}  // namespace tf_dwbp::xla
