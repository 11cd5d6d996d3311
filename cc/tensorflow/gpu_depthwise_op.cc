// The ops on a GPU: allocates what the plans in cc/gpu ask for, and has them launched on the op's
// stream.

#include "cc/gpu/backend.h"
#include "cc/tensorflow/depthwise_op.h"
#include "xla/stream_executor/stream.h"

namespace tf_dwbp {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

struct Gpu {
  using Backend = gpu::Backend;

  static int64_t workers(OpKernelContext*) { return 1; }

  static absl::Status copy(OpKernelContext* context, const Tensor& from, Tensor* to) {
    stream_executor::DeviceAddressBase target(to->data(), to->TotalBytes());
    return context->op_device_context()->stream()->MemcpyD2D(
        &target, stream_executor::DeviceAddressBase(from.data(), from.TotalBytes()),
        from.TotalBytes());
  }

  static absl::Status run(OpKernelContext* context, const gpu::Plan& plan, conv::Tensors tensors,
                          int64_t) {
    // Freed when its last use on the stream is over: TensorFlow's allocator sees to that.
    Tensor workspace;
    TF_RETURN_IF_ERROR(allocate_workspace(context, plan.workspace_bytes, &workspace));
    void* const stream = context->op_device_context()->stream()->platform_specific_handle().stream;
    tensors.workspace = workspace.data();
    const conv::Error error = gpu::run(plan, tensors, stream);
    return error.empty() ? absl::OkStatus() : absl::InternalError(error);
  }
};

[[maybe_unused]] const bool registered = register_kernels<Gpu>(tensorflow::DEVICE_GPU);

}  // namespace
}  // namespace tf_dwbp
