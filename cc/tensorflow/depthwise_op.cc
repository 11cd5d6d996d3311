// The ops on the CPU: reads the call, allocates, and leaves the work to cc/cpu.

#define EIGEN_USE_THREADS

#include "cc/tensorflow/depthwise_op.h"

#include <new>

#include "cc/conv/call.h"
#include "cc/cpu/depthwise.h"
#include "cc/cpu/memory.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_dwbp {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

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

  template <typename K>
  static absl::Status run(OpKernelContext* context, conv::Op op, const conv::Geometry& geometry,
                          const K* a, const K* b, Tensor* result) {
    cpu::want_huge_pages(result->data(), result->TotalBytes());
    Tensor workspace;
    const cpu::Parallel parallel = parallel_on(context->eigen_device<Eigen::ThreadPoolDevice>());
    const int64_t workers = parallel.threads;
    const int64_t bytes = cpu::workspace_bytes<K>(op, geometry, workers);
    TF_RETURN_IF_ERROR(
        context->allocate_temp(tensorflow::DT_INT8, TensorShape({bytes}), &workspace));
    try {
      cpu::run<K>(op, geometry, workers, a, b, static_cast<K*>(result->data()), workspace.data(),
                  parallel);
    } catch (const std::bad_alloc&) {
      return absl::ResourceExhaustedError("there is no memory for the call");
    }
    return absl::OkStatus();
  }
};

TF_DWBP_REGISTER(tensorflow::DEVICE_CPU, Cpu);

}  // namespace
}  // namespace tf_dwbp
