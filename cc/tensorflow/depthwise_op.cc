// The ops on the CPU: reads the call, allocates, and leaves the work to cc/cpu.

#define EIGEN_USE_THREADS

#include "cc/tensorflow/depthwise_op.h"

#include <sys/mman.h>
#include <unistd.h>

#include "cc/conv/call.h"
#include "cc/cpu/depthwise.h"
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

// An allocation that the machine can't back may succeed, and then kill the process when it is
// written to.
absl::Status check_memory(const char* name, const conv::Shape& shape, int64_t element_bytes) {
  static const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  double needed = static_cast<double>(element_bytes);
  for (int64_t size : *shape) needed *= static_cast<double>(size);
  if (needed <= machine) return absl::OkStatus();
  return absl::ResourceExhaustedError(std::string(name) + " " + conv::to_string(*shape) +
                                      " asks for " + std::to_string(static_cast<int64_t>(needed)) +
                                      " bytes, but this machine has a memory of " +
                                      std::to_string(static_cast<int64_t>(machine)) + " bytes");
}

// The C library keeps smaller buffers, and does not ask the system for new ones.
constexpr int64_t kLargeBytes = 16 << 20;

// TensorFlow without oneDNN returns large buffers to the system, and so gets fresh ones for each
// call: faulting these in by pages of 4 KB takes longer than filling them. Only a hint.
void want_huge_pages(void* data, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + bytes) / kHugePage * kHugePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

struct Cpu {
  static absl::Status check_result(const char* name, const conv::Shape& sizes,
                                   int64_t element_bytes) {
    return check_memory(name, sizes, element_bytes);
  }

  template <typename K>
  static absl::Status run(OpKernelContext* context, conv::Op op, const conv::Geometry& geometry,
                          const K* a, const K* b, Tensor* result) {
    const int64_t result_bytes = result->TotalBytes();
    if (result_bytes >= kLargeBytes) want_huge_pages(result->data(), result_bytes);
    Tensor workspace;
    const cpu::Parallel parallel = parallel_on(context->eigen_device<Eigen::ThreadPoolDevice>());
    const int64_t bytes = cpu::workspace_bytes<K>(op, geometry, parallel.workers);
    TF_RETURN_IF_ERROR(
        context->allocate_temp(tensorflow::DT_INT8, TensorShape({bytes}), &workspace));
    cpu::run<K>(op, geometry, a, b, static_cast<K*>(result->data()), workspace.data(), parallel);
    return absl::OkStatus();
  }
};

TF_DWBP_REGISTER(tensorflow::DEVICE_CPU, Cpu);

}  // namespace
}  // namespace tf_dwbp
