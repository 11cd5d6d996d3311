// What the OpKernels of all devices do: read the call, check it, plan it, allocate the result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "cc/conv/call.h"
#include "cc/conv/tensors.h"
#include "cc/tensorflow/dtype.h"
#include "cc/tensorflow/first_copy.h"
#include "cc/tensorflow/make_kernel.h"
#include "cc/tensorflow/names.h"
#include "cc/tensorflow/plan_call.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_dwbp {

// Memory for a kernel's own use. Its size is ours to check: TensorShape's constructor ends the
// process at one that it does not like.
inline absl::Status allocate_workspace(tensorflow::OpKernelContext* context, int64_t bytes,
                                       tensorflow::Tensor* workspace) {
  tensorflow::TensorShape shape;
  TF_RETURN_IF_ERROR(tensorflow::TensorShape::BuildTensorShape({bytes}, &shape));
  return context->allocate_temp(tensorflow::DT_INT8, shape, workspace);
}

// Device knows where things run:
//   Backend (see plan_call.h)
//   int64_t workers(OpKernelContext*)
//   absl::Status copy(OpKernelContext*, const Tensor& from, Tensor* to)
//   absl::Status run(OpKernelContext*, const Backend::Plan&, conv::Tensors, int64_t result_bytes)
//     allocates the workspace, which the tensors lack; may throw std::bad_alloc
//
// `fused`: the forward op with an epilogue.
template <conv::Op op, typename Device, bool fused = false>
class DepthwiseOp : public tensorflow::OpKernel {
  using OpKernelContext = tensorflow::OpKernelContext;
  using Tensor = tensorflow::Tensor;
  using TensorShape = tensorflow::TensorShape;
  using Plan = typename Device::Backend::Plan;

 public:
  explicit DepthwiseOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    tensorflow::DataType type;
    OP_REQUIRES_OK(context, context->GetAttr("T", &type));
    dtype_ = to_dtype(type);
    OP_REQUIRES_OK(context,
                   without_bad_alloc([&] { return read_attributes(context, &attributes_); }));
    if (!fused) return;
    OP_REQUIRES_OK(context, without_bad_alloc([&] { return read_epilogue(context, &epilogue_); }));
  }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES_OK(context, without_bad_alloc([&] { return compute(context); }));
  }

 private:
  static constexpr conv::Operand kResult = conv::result_of(op);
  static constexpr conv::Operands kOperands = conv::operands_of(op);

  // A call's plan and what it was made of. Shared with the calls that run it.
  struct Planned {
    // Of the operands, and of the vector of sizes and the bias, if there are any.
    TensorShape a, b, sizes, bias;
    int32_t result_sizes[4];  // its value
    int64_t workers;

    std::unique_ptr<Plan> plan;
    TensorShape result;
  };

  absl::Status compute(OpKernelContext* context) {
    std::shared_ptr<const Planned> planned;
    TF_RETURN_IF_ERROR(find_plan(context, &planned));
    Tensor* result = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, planned->result, &result));
    Tensor copies[3];  // alive until the kernels are done, or launched
    conv::Tensors tensors{nullptr, nullptr, result->data(), nullptr};
    TF_RETURN_IF_ERROR(read_data(context, operand(context, kOperands.a), &copies[0], &tensors.a));
    TF_RETURN_IF_ERROR(read_data(context, operand(context, kOperands.b), &copies[1], &tensors.b));
    if (epilogue_.bias) {
      TF_RETURN_IF_ERROR(read_data(context, context->input(kBiasInput), &copies[2], &tensors.bias));
    }
    return Device::run(context, *planned->plan, tensors, result->TotalBytes());
  }

  // The last call's plan, while shapes stay the same, or a new one.
  absl::Status find_plan(OpKernelContext* context, std::shared_ptr<const Planned>* planned) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      *planned = last_;
    }
    if (*planned != nullptr && fits(context, **planned)) return absl::OkStatus();
    auto made = std::make_shared<Planned>();
    TF_RETURN_IF_ERROR(make_plan(context, made.get()));
    *planned = std::move(made);
    const std::lock_guard<std::mutex> lock(mutex_);
    last_ = *planned;
    return absl::OkStatus();
  }

  bool fits(OpKernelContext* context, const Planned& planned) const {
    if (planned.workers != Device::workers(context) ||
        operand(context, kOperands.a).shape() != planned.a ||
        operand(context, kOperands.b).shape() != planned.b) {
      return false;
    }
    if (epilogue_.bias && context->input(kBiasInput).shape() != planned.bias) return false;
    if (op == conv::Op::kForward) return true;
    const Tensor& sizes = operand(context, kResult);
    return sizes.shape() == planned.sizes &&
           std::memcmp(sizes.data(), planned.result_sizes, sizeof planned.result_sizes) == 0;
  }

  absl::Status make_plan(OpKernelContext* context, Planned* planned) const {
    conv::Call call(op);
    call.attributes = attributes_;
    call.epilogue = epilogue_;
    TF_RETURN_IF_ERROR(read_call(
        &call,
        [context](int input, conv::Shape* shape) {
          *shape = to_shape(context->input(input).shape());
          return absl::OkStatus();
        },
        [context](int input, const char* name, conv::Shape* shape) {
          return read_sizes(name, context->input(input), shape);
        }));
    planned->a = operand(context, kOperands.a).shape();
    planned->b = operand(context, kOperands.b).shape();
    if (epilogue_.bias) planned->bias = context->input(kBiasInput).shape();
    const conv::Shape& sizes = call.shape(kResult);
    if (op != conv::Op::kForward) planned->sizes = operand(context, kResult).shape();
    std::copy(sizes->begin(), sizes->end(), planned->result_sizes);
    planned->workers = Device::workers(context);
    TF_RETURN_IF_ERROR(
        plan_call<typename Device::Backend>(&call, dtype_, planned->workers, &planned->plan));
    return TensorShape::BuildTensorShape(*sizes, &planned->result);
  }

  static const Tensor& operand(OpKernelContext* context, conv::Operand operand) {
    return context->input(static_cast<int>(operand));
  }

  // The elements of an operand. Not flat(), which ends the process where the tensor is not aligned
  // as Eigen wants it; we want it to be aligned to its elements, as C++ does, or make a copy.
  absl::Status read_data(OpKernelContext* context, const Tensor& tensor, Tensor* copy,
                         const void** data) const {
    *data = tensor.data();
    if (tensor.NumElements() == 0 || reinterpret_cast<uintptr_t>(*data) % bytes_of(dtype_) == 0) {
      return absl::OkStatus();
    }
    TF_RETURN_IF_ERROR(context->allocate_temp(tensor.dtype(), tensor.shape(), copy));
    *data = copy->data();
    return Device::copy(context, tensor, copy);
  }

  Dtype dtype_;
  conv::Attributes attributes_;
  conv::Epilogue epilogue_;

  std::mutex mutex_;
  std::shared_ptr<const Planned> last_;
};

template <conv::Op op, typename Device, bool fused = false>
void register_kernels_of_op(const char* device) {
  for (const Dtype dtype : kDtypes) {
    tensorflow::KernelDefBuilder builder(op_name(op, fused));
    builder.Device(device).TypeConstraint("T", to_tensorflow(dtype));
    // The sizes of the result are wanted on the host.
    if (op != conv::Op::kForward) builder.HostMemory(conv::Call(op).name(conv::result_of(op)));
    tensorflow::kernel_factory::OpKernelRegistrar(builder.Build(), "TfDwbpDepthwiseOp",
                                                  make_kernel<DepthwiseOp<op, Device, fused>>);
  }
}

// Not REGISTER_KERNEL_BUILDER, which does not look first; returns whether it registered them.
template <typename Device>
bool register_kernels(const char* device) {
  if (!is_first_copy()) return false;
  register_kernels_of_op<conv::Op::kForward, Device>(device);
  register_kernels_of_op<conv::Op::kInputGrad, Device>(device);
  register_kernels_of_op<conv::Op::kFilterGrad, Device>(device);
  register_kernels_of_op<conv::Op::kForward, Device, /*fused=*/true>(device);
  return true;
}

}  // namespace tf_dwbp
