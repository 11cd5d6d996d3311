// TfDwbp>DepthwiseConv2dNativeBackpropInput on the CPU: reads the call, allocates, and leaves the
// work to cc/cpu.

#define EIGEN_USE_THREADS

#include <sys/mman.h>
#include <unistd.h>

#include "cc/conv/call.h"
#include "cc/cpu/input_grad.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_dwbp {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

// The kernels' name for a type of TensorFlow's, with the same bits.
template <typename T>
struct KernelType {
  using Type = T;
};
template <>
struct KernelType<Eigen::half> {
  using Type = cpu::Half;
};
template <>
struct KernelType<Eigen::bfloat16> {
  using Type = cpu::Bfloat16;
};

cpu::Parallel parallel_on(const Eigen::ThreadPoolDevice& device) {
  Eigen::ThreadPoolInterface* const pool = device.getPool();
  return {device.numThreads(),
          [pool](std::function<void()> function) { pool->Schedule(std::move(function)); }};
}

// An allocation that the machine can't back may succeed, and then kill the process when it is
// written to.
absl::Status check_memory(const conv::Call& call, int64_t element_bytes) {
  static const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const double needed =
      static_cast<double>(conv::geometry_of(call).input_elements()) * element_bytes;
  if (needed <= machine) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      std::string(call.input_name) + " " + conv::to_string(*call.input) + " asks for " +
      std::to_string(static_cast<int64_t>(needed)) + " bytes, but this machine has a memory of " +
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

template <typename T>
class InputGradOp : public OpKernel {
 public:
  explicit InputGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, read_attributes(context, &attributes_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& filter = context->input(1);
    const Tensor& out_backprop = context->input(2);
    conv::Call call{"input_sizes",
                    "filter",
                    "out_backprop",
                    attributes_,
                    {},
                    to_shape(filter.shape()),
                    to_shape(out_backprop.shape())};
    OP_REQUIRES_OK(context, read_sizes(call.input_name, context->input(0), &call.input));
    OP_REQUIRES_OK(context, to_status(conv::check_call(&call)));
    OP_REQUIRES_OK(context, check_memory(call, sizeof(T)));
    const conv::Geometry geometry = conv::geometry_of(call);

    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(*call.input, &shape));
    Tensor* input_grad = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &input_grad));

    const int64_t input_grad_bytes = input_grad->TotalBytes();
    if (input_grad_bytes >= kLargeBytes) want_huge_pages(input_grad->data(), input_grad_bytes);

    using K = typename KernelType<T>::Type;
    Tensor workspace;
    const cpu::Parallel parallel = parallel_on(context->eigen_device<Eigen::ThreadPoolDevice>());
    const int64_t bytes = cpu::input_grad_workspace_bytes<K>(geometry, parallel.workers);
    OP_REQUIRES_OK(context,
                   context->allocate_temp(tensorflow::DT_INT8, TensorShape({bytes}), &workspace));
    cpu::input_grad<K>(geometry, reinterpret_cast<const K*>(filter.flat<T>().data()),
                       reinterpret_cast<const K*>(out_backprop.flat<T>().data()),
                       reinterpret_cast<K*>(input_grad->flat<T>().data()), workspace.data(),
                       parallel);
  }

 private:
  conv::Attributes attributes_;
};

#define TF_DWBP_REGISTER(T)                                                 \
  REGISTER_KERNEL_BUILDER(Name("TfDwbp>DepthwiseConv2dNativeBackpropInput") \
                              .Device(tensorflow::DEVICE_CPU)               \
                              .TypeConstraint<T>("T"),                      \
                          InputGradOp<T>)
TF_DWBP_REGISTER(Eigen::half);
TF_DWBP_REGISTER(Eigen::bfloat16);
TF_DWBP_REGISTER(float);
TF_DWBP_REGISTER(double);
#undef TF_DWBP_REGISTER

}  // namespace
}  // namespace tf_dwbp
