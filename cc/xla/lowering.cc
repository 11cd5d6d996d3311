#include "cc/xla/lowering.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cc/cpu/backend.h"
#include "cc/tensorflow/dtype.h"
#include "cc/tensorflow/make_kernel.h"
#include "cc/tensorflow/names.h"
#include "cc/tensorflow/read_call.h"
#include "cc/xla/first_copy.h"
#include "cc/xla/request.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "tensorflow/core/platform/cpu_info.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/shape_util.h"

namespace tf_dwbp::xla {
namespace {

// Of all shapes the layout is stated: XLA is free to choose another one otherwise. Those that XLA
// cannot count are an error here; MakeShape would end the process.
absl::StatusOr<::xla::Shape> to_xla(::xla::PrimitiveType element,
                                    const std::vector<int64_t>& sizes) {
  return ::xla::ShapeUtil::MakeValidatedShapeWithDescendingLayout(element, sizes);
}

// The shape of a tensor that XLA computes.
absl::Status read_shape(const char* name, const ::xla::Shape& from, conv::Shape* shape) {
  if (!from.is_static()) {
    return absl::InvalidArgumentError(
        std::string(name) + " must have a shape that XLA knows when it compiles, but has " +
        from.ToString());
  }
  *shape = std::vector<int64_t>(from.dimensions().begin(), from.dimensions().end());
  return absl::OkStatus();
}

// By device.
Planner planners[2];

// `fused`: the forward op with an epilogue.
template <conv::Op op, Device device, bool fused = false>
class Lowering : public tensorflow::XlaOpKernel {
 public:
  explicit Lowering(tensorflow::OpKernelConstruction* context) : XlaOpKernel(context) {
    OP_REQUIRES_OK(context,
                   without_bad_alloc([&] { return read_attributes(context, &attributes_); }));
    if (!fused) return;
    OP_REQUIRES_OK(context, without_bad_alloc([&] { return read_epilogue(context, &epilogue_); }));
  }

  void Compile(tensorflow::XlaOpKernelContext* context) override {
    OP_REQUIRES_OK(context, without_bad_alloc([&] { return compile(context); }));
  }

 private:
  absl::Status compile(tensorflow::XlaOpKernelContext* context) {
    constexpr conv::Operand kResult = conv::result_of(op);
    conv::Call call(op);
    call.attributes = attributes_;
    call.epilogue = epilogue_;
    TF_RETURN_IF_ERROR(read_call(
        &call,
        [&](int input, conv::Shape* shape) -> absl::Status {
          TF_ASSIGN_OR_RETURN(const ::xla::Shape from, context->InputXlaShape(input));
          const bool bias = fused && input == kBiasInput;
          return read_shape(bias ? "bias" : call.name(static_cast<conv::Operand>(input)), from,
                            shape);
        },
        [&](int input, const char* name, conv::Shape* shape) -> absl::Status {
          TF_ASSIGN_OR_RETURN(const tensorflow::Tensor sizes, context->ConstantInputTensor(input));
          return read_sizes(name, sizes, shape);
        }));

    constexpr conv::Operands kOperands = conv::operands_of(op);
    const int inputs[] = {static_cast<int>(kOperands.a), static_cast<int>(kOperands.b)};
    const ::xla::PrimitiveType element = context->input_xla_type(inputs[0]);

    // XLA finds memory for the workspace when it compiles.
    const int64_t workers = tensorflow::port::MaxParallelism();
    const Dtype dtype = to_dtype(context->input_type(inputs[0]));
    Planned planned;
    TF_RETURN_IF_ERROR(planners[static_cast<int>(device)](&call, dtype, workers, &planned));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape a, to_xla(element, *call.shape(kOperands.a)));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape b, to_xla(element, *call.shape(kOperands.b)));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape result, to_xla(element, *call.shape(kResult)));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape workspace, to_xla(::xla::U8, {planned.workspace_bytes}));
    std::vector<::xla::XlaOp> tensors{context->Input(inputs[0]), context->Input(inputs[1])};
    std::vector<::xla::Shape> shapes{a, b};
    if (epilogue_.bias) {
      tensors.push_back(context->Input(kBiasInput));
      TF_ASSIGN_OR_RETURN(shapes.emplace_back(), to_xla(element, *call.bias));
    }
    const ::xla::Shape results = ::xla::ShapeUtil::MakeTupleShape({result, workspace});
    const ::xla::XlaOp made = ::xla::CustomCallWithLayout(
        context->builder(), op_name(op, fused), tensors, results, shapes,
        to_dictionary(planned.problem, workers), /*has_side_effect=*/false,
        /*output_operand_aliasing=*/{},
        /*literal=*/nullptr, ::xla::CustomCallSchedule::SCHEDULE_NONE,
        ::xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
    context->SetOutput(0, ::xla::GetTupleElement(made, 0));
    return absl::OkStatus();
  }

  conv::Attributes attributes_;
  conv::Epilogue epilogue_;
};

// XLA makes kernels of all lowerings that it has been told of once, before it compiles for the
// first time. A lowering that comes later makes its own.
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

template <conv::Op op, Device device, bool fused = false>
void register_lowering() {
  const char* const name =
      device == Device::kCpu ? tensorflow::DEVICE_CPU_XLA_JIT : tensorflow::DEVICE_GPU_XLA_JIT;
  const auto make = make_kernel<Lowering<op, device, fused>>;
  auto builder = tensorflow::XlaOpRegistrationBuilder::Name(op_name(op, fused));
  builder.Device(name);
  if (op != conv::Op::kForward) {
    builder.CompileTimeConstantInput(conv::Call(op).name(conv::result_of(op)));
  }
  tensorflow::XlaOpRegistrar(builder.Build(make));
  register_if_late(op_name(op, fused), name, make);
}

template <Device device>
void register_all() {
  register_lowering<conv::Op::kForward, device>();
  register_lowering<conv::Op::kInputGrad, device>();
  register_lowering<conv::Op::kFilterGrad, device>();
  register_lowering<conv::Op::kForward, device, /*fused=*/true>();
}

}  // namespace

bool is_first_copy() {
  static const bool first = [] {
    const std::vector<std::string> ops = tensorflow::XlaOpRegistry::GetAllRegisteredOps();
    return std::find(ops.begin(), ops.end(), op_name(conv::Op::kForward)) == ops.end();
  }();
  return first;
}

bool register_lowerings(Device device, Planner planner) {
  if (!is_first_copy()) return false;
  planners[static_cast<int>(device)] = planner;
  device == Device::kCpu ? register_all<Device::kCpu>() : register_all<Device::kGpu>();
  return true;
}

[[maybe_unused]] static const bool registered =
    register_lowerings(Device::kCpu, plan_for<cpu::Backend>);

}  // namespace tf_dwbp::xla
