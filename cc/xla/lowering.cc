#include "cc/xla/lowering.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cc/cpu/depthwise.h"
#include "cc/cpu/memory.h"
#include "cc/xla/first_copy.h"

namespace tf_dwbp::xla {

cpu::Type type_of(tensorflow::DataType type) {
  switch (type) {
    case tensorflow::DT_HALF:
      return cpu::Type::kHalf;
    case tensorflow::DT_BFLOAT16:
      return cpu::Type::kBfloat16;
    case tensorflow::DT_FLOAT:
      return cpu::Type::kFloat;
    default:  // the ops are registered for one more
      return cpu::Type::kDouble;
  }
}

absl::Status read_shape(const char* name, const ::xla::Shape& from, conv::Shape* shape) {
  if (!from.is_static()) {
    return absl::InvalidArgumentError(
        std::string(name) + " must have a shape that XLA knows when it compiles, but has " +
        from.ToString());
  }
  *shape = std::vector<int64_t>(from.dimensions().begin(), from.dimensions().end());
  return absl::OkStatus();
}

bool is_first_copy() {
  static const bool first = [] {
    const std::vector<std::string> ops = tensorflow::XlaOpRegistry::GetAllRegisteredOps();
    return std::find(ops.begin(), ops.end(), name_of(conv::Op::kForward)) == ops.end();
  }();
  return first;
}

void register_if_late(const char* op, const char* device,
                      tensorflow::OpKernel* (*make)(tensorflow::OpKernelConstruction*)) {
  const auto is_of_device = [device](const tensorflow::KernelDef& kernel) {
    return kernel.device_type() == device;
  };
  // Any op of TensorFlow's that XLA compiles.
  const tensorflow::KernelList kernels = tensorflow::GetRegisteredKernelsForOp("Relu");
  if (std::none_of(kernels.kernel().begin(), kernels.kernel().end(), is_of_device)) return;
  tensorflow::kernel_factory::OpKernelRegistrar(
      tensorflow::register_kernel::Name(op).Device(device).Build(), "TfDwbpLowering", make);
}

namespace {

struct Cpu {
  static absl::Status check_result(const char* name, const conv::Shape& sizes,
                                   int64_t element_bytes) {
    const conv::Error error = cpu::check_memory(name, sizes, element_bytes);
    return error.empty() ? absl::OkStatus() : absl::ResourceExhaustedError(error);
  }
  static int64_t workspace_bytes(const Request& request) {
    return cpu::workspace_bytes(request.type, request.op, request.geometry, request.workers);
  }
};

[[maybe_unused]] const bool registered = register_lowerings<Cpu>(tensorflow::DEVICE_CPU_XLA_JIT);

}  // namespace
}  // namespace tf_dwbp::xla
