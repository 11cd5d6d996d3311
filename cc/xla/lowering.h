// From the ops to XLA: a call is checked as everywhere, and becomes a custom call, whose handler
// lands in the kernels of cc/cpu or cc/gpu.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cc/conv/call.h"
#include "cc/tensorflow/dtype.h"
#include "cc/tensorflow/make_kernel.h"
#include "cc/tensorflow/names.h"
#include "cc/tensorflow/plan_call.h"
#include "cc/tensorflow/read_call.h"
#include "cc/xla/first_copy.h"
#include "cc/xla/request.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "tensorflow/core/platform/cpu_info.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/shape_util.h"

namespace tf_dwbp::xla {

// Of all shapes the layout is stated: XLA is free to choose another one otherwise. Those that XLA
// cannot count are an error here; MakeShape would end the process.
inline absl::StatusOr<::xla::Shape> to_xla(::xla::PrimitiveType element,
                                           const std::vector<int64_t>& sizes) {
  return ::xla::ShapeUtil::MakeValidatedShapeWithDescendingLayout(element, sizes);
}

// The shape of a tensor that XLA computes.
absl::Status read_shape(const char* name, const ::xla::Shape& from, conv::Shape* shape);

// Backend is a device's (see plan_call.h). `fused`: the forward op with an epilogue.
template <conv::Op op, typename Backend, bool fused = false>
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

    // XLA finds memory for the workspace when it compiles. The plan itself is made anew, in the
    // same way, by the handler of the program.
    const int64_t workers = tensorflow::port::MaxParallelism();
    std::unique_ptr<typename Backend::Plan> plan;
    TF_RETURN_IF_ERROR(
        plan_call<Backend>(&call, to_dtype(context->input_type(inputs[0])), workers, &plan));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape a, to_xla(element, *call.shape(kOperands.a)));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape b, to_xla(element, *call.shape(kOperands.b)));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape result, to_xla(element, *call.shape(kResult)));
    TF_ASSIGN_OR_RETURN(const ::xla::Shape workspace, to_xla(::xla::U8, {plan->workspace_bytes}));
    std::vector<::xla::XlaOp> tensors{context->Input(inputs[0]), context->Input(inputs[1])};
    std::vector<::xla::Shape> shapes{a, b};
    if (epilogue_.bias) {
      tensors.push_back(context->Input(kBiasInput));
      TF_ASSIGN_OR_RETURN(shapes.emplace_back(), to_xla(element, *call.bias));
    }
    const ::xla::Shape results = ::xla::ShapeUtil::MakeTupleShape({result, workspace});
    const ::xla::XlaOp made = ::xla::CustomCallWithLayout(
        context->builder(), op_name(op, fused), tensors, results, shapes,
        to_dictionary(to_text(plan->problem), workers), /*has_side_effect=*/false,
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
                      tensorflow::OpKernel* (*make)(tensorflow::OpKernelConstruction*));

template <conv::Op op, typename Backend, bool fused = false>
void register_lowering(const char* device) {
  const auto make = make_kernel<Lowering<op, Backend, fused>>;
  auto builder = tensorflow::XlaOpRegistrationBuilder::Name(op_name(op, fused));
  builder.Device(device);
  if (op != conv::Op::kForward) {
    builder.CompileTimeConstantInput(conv::Call(op).name(conv::result_of(op)));
  }
  tensorflow::XlaOpRegistrar(builder.Build(make));
  register_if_late(op_name(op, fused), device, make);
}

// Returns whether it registered them.
template <typename Backend>
bool register_lowerings(const char* device) {
  if (!is_first_copy()) return false;
  register_lowering<conv::Op::kForward, Backend>(device);
  register_lowering<conv::Op::kInputGrad, Backend>(device);
  register_lowering<conv::Op::kFilterGrad, Backend>(device);
  register_lowering<conv::Op::kForward, Backend, /*fused=*/true>(device);
  return true;
}

}  // namespace tf_dwbp::xla
