// Functions that XLA compiles hold stock's ops, as all that is traced does. By the kernels below,
// which XLA prefers to stock's for the same ops, it makes of them what it makes of ours, while ours
// are asked for, and what it makes of stock's otherwise.

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cc/conv/export.h"
#include "cc/swap/rename.h"
#include "cc/swap/state.h"
#include "cc/tensorflow/dtype.h"
#include "cc/tensorflow/names.h"
#include "tensorflow/compiler/tf2xla/kernels/conv_op_helpers.h"
#include "tensorflow/compiler/tf2xla/shape_util.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_dwbp::swap {
namespace {

using tensorflow::ConvOpAttrs;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::TensorShape;
using tensorflow::XlaOpKernelContext;

// An op for each compilation: XLA makes its kernels anew each time.
template <int index>
class Compiled : public OpKernel {
 public:
  explicit Compiled(OpKernelConstruction* context) : OpKernel(context), entry_(look_at(def())) {
    const tensorflow::DeviceType& device = context->device_type();
    const std::string ours = our_name(entry_.op);
    tensorflow::DataType dtype;
    OP_REQUIRES_OK(context, context->GetAttr("T", &dtype));
    entry_.device = device.type_string();
    entry_.why = why_not(index, installs().ops(), Process::kThis);
    if (entry_.why.empty() && !has_kernel(ours, dtype, device)) {
      entry_.why = "no kernel of ours for " + entry_.device + " and this type";
    }
    entry_.ours = entry_.why.empty();
    if (!entry_.ours) {
      auto attributes = ConvOpAttrs::Create(/*num_spatial_dims=*/2, /*depthwise=*/true, context);
      OP_REQUIRES_OK(context, attributes.status());
      attributes_ = *std::move(attributes);
      return;
    }
    entry_.why = "compiled by XLA";
    tensorflow::NodeDef node = def();
    node.set_op(ours);
    absl::Status status;
    kernel_ =
        tensorflow::CreateOpKernel(device, context->device(), context->device()->GetAllocator({}),
                                   node, context->graph_def_version(), &status);
    OP_REQUIRES_OK(context, status);
  }

  void Compute(OpKernelContext* context) override {
    XlaOpKernelContext xla(context);
    record(xla.builder()->name());
    if (kernel_ != nullptr) {
      kernel_->Compute(context);
    } else {
      OP_REQUIRES_OK(context, compute_stocks(&xla));
    }
  }

 private:
  // As TensorFlow's own kernels do, by the functions that it offers for it.
  absl::Status compute_stocks(XlaOpKernelContext* context) {
    const std::string& op = type_string();
    absl::StatusOr<xla::XlaOp> made;
    if (index == 0) {
      made =
          tensorflow::MakeXlaForwardConvOp(op, context->Input(0), context->Input(1), attributes_);
    } else {
      constexpr int kSizes = index == 1 ? 0 : 1, kTensor = 1 - kSizes;
      TensorShape sizes;
      TF_RETURN_IF_ERROR(
          context->ConstantInputAsShape(kSizes, &sizes, xla::ValueInferenceMode::kUpperBound));
      if (sizes.dims() != 4) {
        return absl::InvalidArgumentError(
            "The rank of the specified shape must be num_spatial_dims + 2. Expected 4 got " +
            std::to_string(sizes.dims()));
      }
      const xla::Shape shape =
          tensorflow::TensorShapeToXLAShape(context->input_xla_type(kTensor), sizes);
      if (index == 1) {
        xla::XlaOp input_sizes = context->Input(0);
        made = tensorflow::MakeXlaBackpropInputConvOp(op, shape, context->Input(1),
                                                      context->Input(2), attributes_, &input_sizes);
      } else {
        made = tensorflow::MakeXlaBackpropFilterConvOp(op, context->Input(0), shape,
                                                       context->Input(2), attributes_);
      }
    }
    TF_RETURN_IF_ERROR(made.status());
    context->SetOutput(0, *made);
    return absl::OkStatus();
  }

  // XLA names its program after the function, which attributes may follow in brackets.
  void record(const std::string& program) {
    ledger().executed(program.substr(0, program.find('[')), {entry_});
  }

  Entry entry_;
  std::unique_ptr<OpKernel> kernel_;  // ours
  ConvOpAttrs attributes_;            // stock's
};

// A kernel is preferred to stock's, which TensorFlow may register later, and to all others that
// there are, such as those of a second copy of this library.
template <int index>
void register_kernel(const char* op, const char* device) {
  int priority = 1;
  const tensorflow::KernelList kernels = tensorflow::GetRegisteredKernelsForOp(op);
  for (const tensorflow::KernelDef& kernel : kernels.kernel()) {
    if (kernel.device_type() == device) priority = std::max(priority, kernel.priority() + 1);
  }
  auto builder = tensorflow::register_kernel::Name(op);
  std::vector<tensorflow::DataType> types;
  for (const Dtype dtype : kDtypes) types.push_back(to_tensorflow(dtype));
  builder.Device(device).Priority(priority).TypeConstraint("T", types);
  tensorflow::kernel_factory::OpKernelRegistrar(
      builder.Build(), "TfDwbpCompiled",
      [](OpKernelConstruction* context) -> OpKernel* { return new Compiled<index>(context); });
}

}  // namespace
}  // namespace tf_dwbp::swap

extern "C" TF_DWBP_EXPORT void tf_dwbp_swap_register_compiled() {
  using namespace tf_dwbp::swap;
  static std::once_flag once;
  std::call_once(once, [] {
    for (const char* device : {tensorflow::DEVICE_CPU_XLA_JIT, tensorflow::DEVICE_GPU_XLA_JIT}) {
      register_kernel<0>(tf_dwbp::kStockNames[0], device);
      register_kernel<1>(tf_dwbp::kStockNames[1], device);
      register_kernel<2>(tf_dwbp::kStockNames[2], device);
    }
  });
}
