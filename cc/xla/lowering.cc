#include "cc/xla/lowering.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cc/cpu/backend.h"
#include "cc/xla/first_copy.h"

namespace tf_dwbp::xla {

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
    return std::find(ops.begin(), ops.end(), op_name(conv::Op::kForward)) == ops.end();
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

[[maybe_unused]] static const bool registered =
    register_lowerings<cpu::Backend>(tensorflow::DEVICE_CPU_XLA_JIT);

}  // namespace tf_dwbp::xla
