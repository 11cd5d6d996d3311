// The ops on the CPU: reads the call, allocates, and leaves the work to cc/cpu.

#define EIGEN_USE_THREADS

#include "cc/tensorflow/depthwise_op.h"

#include <cstring>
#include <vector>

#include "cc/conv/call.h"
#include "cc/cpu/depthwise.h"
#include "cc/cpu/memory.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_dwbp {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

cpu::Parallel parallel_on(const Eigen::ThreadPoolDevice& device) {
  Eigen::ThreadPoolInterface* const pool = device.getPool();
  return {device.numThreads(),
          [pool](std::function<void()> function) { pool->Schedule(std::move(function)); }};
}

struct Cpu {
  static absl::Status check_result(const char* name, const conv::Shape& sizes,
                                   int64_t element_bytes) {
    const conv::Error error = cpu::check_memory(name, sizes, element_bytes);
    return error.empty() ? absl::OkStatus() : absl::ResourceExhaustedError(error);
  }

  static absl::Status copy(OpKernelContext*, const Tensor& from, Tensor* to) {
    std::memcpy(to->data(), from.data(), from.TotalBytes());
    return absl::OkStatus();
  }

  template <typename K>
  static absl::Status run(OpKernelContext* context, conv::Op op, const conv::Geometry& geometry,
                          const K* a, const K* b, Tensor* result) {
    cpu::want_huge_pages(result->data(), result->TotalBytes());
    Tensor workspace;
    const cpu::Parallel parallel = parallel_on(context->eigen_device<Eigen::ThreadPoolDevice>());
    const int64_t workers = parallel.threads;
    const int64_t bytes = cpu::workspace_bytes<K>(op, geometry, workers);
    TF_RETURN_IF_ERROR(check_result("the workspace", std::vector<int64_t>{bytes}, 1));
    TF_RETURN_IF_ERROR(allocate_workspace(context, bytes, &workspace));
    cpu::run<K>(op, geometry, workers, a, b, static_cast<K*>(result->data()), workspace.data(),
                parallel);
    return absl::OkStatus();
  }
};

[[maybe_unused]] const bool registered = register_kernels<Cpu>(tensorflow::DEVICE_CPU);

}  // namespace
}  // namespace tf_dwbp
