// The ops on a GPU: allocates what the kernels in cc/gpu ask for, and has them launched on the
// op's stream.

#include "cc/conv/call.h"
#include "cc/gpu/depthwise.h"
#include "cc/tensorflow/depthwise_op.h"
#include "xla/stream_executor/stream.h"

namespace tf_dwbp {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

struct Gpu {
  static absl::Status check_result(const char*, const conv::Shape&, int64_t) {
    return absl::OkStatus();  // the GPU's allocator says what is too much
  }

  static absl::Status copy(OpKernelContext* context, const Tensor& from, Tensor* to) {
    stream_executor::DeviceAddressBase target(to->data(), to->TotalBytes());
    return context->op_device_context()->stream()->MemcpyD2D(
        &target, stream_executor::DeviceAddressBase(from.data(), from.TotalBytes()),
        from.TotalBytes());
  }

  template <typename K>
  static absl::Status run(OpKernelContext* context, conv::Op op, const conv::Geometry& geometry,
                          const K* a, const K* b, Tensor* result) {
    // Freed when its last use on the stream is over: TensorFlow's allocator sees to that.
    Tensor workspace;
    const int64_t bytes = gpu::workspace_bytes<K>(op, geometry);
    TF_RETURN_IF_ERROR(allocate_workspace(context, bytes, &workspace));
    void* const stream = context->op_device_context()->stream()->platform_specific_handle().stream;
    const conv::Error error =
        gpu::run<K>(op, geometry, a, b, static_cast<K*>(result->data()), workspace.data(), stream);
    return error.empty() ? absl::OkStatus() : absl::InternalError(error);
  }
};

[[maybe_unused]] const bool registered = register_kernels<Gpu>(tensorflow::DEVICE_GPU);

}  // namespace
}  // namespace tf_dwbp
