// The lowering for GPUs: the workspace is what the kernels in cc/gpu ask for.

#include "cc/gpu/depthwise.h"
#include "cc/xla/lowering.h"

namespace tf_dwbp::xla {
namespace {

struct Gpu {
  static absl::Status check_result(const char*, const conv::Shape&, int64_t) {
    return absl::OkStatus();  // XLA's allocator says what is too much
  }
  static int64_t workspace_bytes(const Request& request) {
    return gpu::workspace_bytes(request.type, request.op, request.geometry);
  }
};

[[maybe_unused]] const bool registered = register_lowerings<Gpu>(tensorflow::DEVICE_GPU_XLA_JIT);

}  // namespace
}  // namespace tf_dwbp::xla
