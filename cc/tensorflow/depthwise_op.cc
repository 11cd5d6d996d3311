// The ops on the CPU: allocates what the plans in cc/cpu ask for, and has them run on TensorFlow's
// threads.

#define EIGEN_USE_THREADS

#include "cc/tensorflow/depthwise_op.h"

#include <cstring>

#include "cc/cpu/backend.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_dwbp {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

struct Cpu {
  using Backend = cpu::Backend;

  static int64_t workers(OpKernelContext* context) {
    return context->eigen_device<Eigen::ThreadPoolDevice>().numThreads();
  }

  static absl::Status copy(OpKernelContext*, const Tensor& from, Tensor* to) {
    std::memcpy(to->data(), from.data(), from.TotalBytes());
    return absl::OkStatus();
  }

  static absl::Status run(OpKernelContext* context, const cpu::Plan& plan, conv::Tensors tensors,
                          int64_t result_bytes) {
    cpu::want_huge_pages(tensors.result, result_bytes);
    Tensor workspace;
    TF_RETURN_IF_ERROR(allocate_workspace(context, plan.workspace_bytes, &workspace));
    const auto& device = context->eigen_device<Eigen::ThreadPoolDevice>();
    Eigen::ThreadPoolInterface* const pool = device.getPool();
    const cpu::Parallel parallel{device.numThreads(), [pool](std::function<void()> function) {
                                   pool->Schedule(std::move(function));
                                 }};
    tensors.workspace = workspace.data();
    cpu::run(plan, tensors, parallel);
    return absl::OkStatus();
  }
};

[[maybe_unused]] const bool registered = register_kernels<Cpu>(tensorflow::DEVICE_CPU);

}  // namespace
}  // namespace tf_dwbp
