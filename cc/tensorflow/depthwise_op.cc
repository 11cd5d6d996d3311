// The ops on the CPU: reads the call, allocates, and leaves the work to cc/cpu.

#define EIGEN_USE_THREADS

#include <sys/mman.h>
#include <unistd.h>

#include "cc/conv/call.h"
#include "cc/cpu/depthwise.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"
#include "unsupported/Eigen/CXX11/Tensor"

namespace tf_dwbp {
namespace {

using conv::Operand;
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

template <conv::Op op, typename T>
class DepthwiseOp : public OpKernel {
 public:
  explicit DepthwiseOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, read_attributes(context, &attributes_));
  }

  void Compute(OpKernelContext* context) override {
    constexpr Operand kResult = conv::result_of(op);
    conv::Call call(op);
    call.attributes = attributes_;
    const Tensor* given[2];
    int count = 0;
    // Where the result would stand, its sizes do; the forward op takes none.
    for (const Operand operand : {Operand::kInput, Operand::kFilter, Operand::kOutput}) {
      if (operand != kResult) {
        given[count] = &context->input(static_cast<int>(operand));
        call.shape(operand) = to_shape(given[count++]->shape());
      } else if (op != conv::Op::kForward) {
        OP_REQUIRES_OK(context,
                       read_sizes(call.name(operand), context->input(static_cast<int>(operand)),
                                  &call.shape(operand)));
      }
    }
    OP_REQUIRES_OK(context, to_status(conv::check_call(&call)));
    const conv::Shape& sizes = call.shape(kResult);
    OP_REQUIRES_OK(context, check_memory(call.name(kResult), sizes, sizeof(T)));
    const conv::Geometry geometry = conv::geometry_of(call);

    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(*sizes, &shape));
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));
    const int64_t result_bytes = result->TotalBytes();
    if (result_bytes >= kLargeBytes) want_huge_pages(result->data(), result_bytes);

    using K = typename KernelType<T>::Type;
    const auto data = [](const Tensor& tensor) {
      return reinterpret_cast<const K*>(tensor.flat<T>().data());
    };
    Tensor workspace;
    const cpu::Parallel parallel = parallel_on(context->eigen_device<Eigen::ThreadPoolDevice>());
    const int64_t bytes = cpu::workspace_bytes<K>(op, geometry, parallel.workers);
    OP_REQUIRES_OK(context,
                   context->allocate_temp(tensorflow::DT_INT8, TensorShape({bytes}), &workspace));
    cpu::run<K>(op, geometry, data(*given[0]), data(*given[1]),
                reinterpret_cast<K*>(result->flat<T>().data()), workspace.data(), parallel);
  }

 private:
  conv::Attributes attributes_;
};

#define TF_DWBP_REGISTER_TYPE(NAME, OP, T)                                                  \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
                          DepthwiseOp<OP, T>)
#define TF_DWBP_REGISTER(NAME, OP)                  \
  TF_DWBP_REGISTER_TYPE(NAME, OP, Eigen::half);     \
  TF_DWBP_REGISTER_TYPE(NAME, OP, Eigen::bfloat16); \
  TF_DWBP_REGISTER_TYPE(NAME, OP, float);           \
  TF_DWBP_REGISTER_TYPE(NAME, OP, double)
TF_DWBP_REGISTER("TfDwbp>DepthwiseConv2dNative", conv::Op::kForward);
TF_DWBP_REGISTER("TfDwbp>DepthwiseConv2dNativeBackpropInput", conv::Op::kInputGrad);
TF_DWBP_REGISTER("TfDwbp>DepthwiseConv2dNativeBackpropFilter", conv::Op::kFilterGrad);
#undef TF_DWBP_REGISTER
#undef TF_DWBP_REGISTER_TYPE

}  // namespace
}  // namespace tf_dwbp
