// The lowering for GPUs: the workspace is what the plans in cc/gpu ask for.

#include "cc/gpu/backend.h"
#include "cc/xla/lowering.h"

namespace tf_dwbp::xla {

[[maybe_unused]] static const bool registered =
    register_lowerings(Device::kGpu, plan_for<gpu::Backend>);

}  // namespace tf_dwbp::xla
