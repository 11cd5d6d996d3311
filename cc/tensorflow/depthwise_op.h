// What the OpKernels of all devices do: read the call, check it, allocate the result.
#pragma once

#include <cstdint>

#include "cc/conv/call.h"
#include "cc/cpu/element.h"
#include "cc/tensorflow/first_copy.h"
#include "cc/tensorflow/make_kernel.h"
#include "cc/tensorflow/names.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"

namespace tf_dwbp {

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

// Memory for a kernel's own use. Its size is ours to check: TensorShape's constructor ends the
// process at one that it does not like.
inline absl::Status allocate_workspace(tensorflow::OpKernelContext* context, int64_t bytes,
                                       tensorflow::Tensor* workspace) {
  tensorflow::TensorShape shape;
  TF_RETURN_IF_ERROR(tensorflow::TensorShape::BuildTensorShape({bytes}, &shape));
  return context->allocate_temp(tensorflow::DT_INT8, shape, workspace);
}

// Device knows where things run:
//   absl::Status check_result(const char* name, const conv::Shape& sizes, int64_t element_bytes)
//     whether it could hold a result of that shape
//   absl::Status copy(OpKernelContext*, const Tensor& from, Tensor* to)
//   absl::Status run<K>(OpKernelContext*, conv::Op, const conv::Geometry&, const K* a, const K* b,
//                       tensorflow::Tensor* result)
//     may throw std::bad_alloc
template <conv::Op op, typename T, typename Device>
class DepthwiseOp : public tensorflow::OpKernel {
 public:
  explicit DepthwiseOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context,
                   without_bad_alloc([&] { return read_attributes(context, &attributes_); }));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    OP_REQUIRES_OK(context, without_bad_alloc([&] { return compute(context); }));
  }

 private:
  using K = typename KernelType<T>::Type;

  absl::Status compute(tensorflow::OpKernelContext* context) const {
    constexpr conv::Operand kResult = conv::result_of(op);
    conv::Call call(op);
    call.attributes = attributes_;
    TF_RETURN_IF_ERROR(read_call(
        &call,
        [context](int input, conv::Shape* shape) {
          *shape = to_shape(context->input(input).shape());
          return absl::OkStatus();
        },
        [context](int input, const char* name, conv::Shape* shape) {
          return read_sizes(name, context->input(input), shape);
        }));
    const conv::Shape& sizes = call.shape(kResult);
    TF_RETURN_IF_ERROR(Device::check_result(call.name(kResult), sizes, sizeof(T)));

    tensorflow::TensorShape shape;
    TF_RETURN_IF_ERROR(tensorflow::TensorShape::BuildTensorShape(*sizes, &shape));
    tensorflow::Tensor* result = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &result));

    constexpr conv::Operands kOperands = conv::operands_of(op);
    tensorflow::Tensor copies[2];  // alive until the kernels are done, or launched
    const K *a = nullptr, *b = nullptr;
    TF_RETURN_IF_ERROR(read_data(context, kOperands.a, &copies[0], &a));
    TF_RETURN_IF_ERROR(read_data(context, kOperands.b, &copies[1], &b));
    return Device::template run<K>(context, op, conv::geometry_of(call), a, b, result);
  }

  // The elements of an operand. Not flat(), which ends the process where the tensor is not aligned
  // as Eigen wants it; we want it to be aligned to its elements, as C++ does, or make a copy.
  static absl::Status read_data(tensorflow::OpKernelContext* context, conv::Operand operand,
                                tensorflow::Tensor* copy, const K** data) {
    const tensorflow::Tensor& tensor = context->input(static_cast<int>(operand));
    *data = static_cast<const K*>(tensor.data());
    if (tensor.NumElements() == 0 || reinterpret_cast<uintptr_t>(*data) % sizeof(K) == 0) {
      return absl::OkStatus();
    }
    TF_RETURN_IF_ERROR(context->allocate_temp(tensor.dtype(), tensor.shape(), copy));
    *data = static_cast<const K*>(copy->data());
    return Device::copy(context, tensor, copy);
  }

  conv::Attributes attributes_;
};

template <conv::Op op, typename T, typename Device>
void register_kernel(const char* device) {
  tensorflow::KernelDefBuilder builder(name_of(op));
  builder.Device(device).TypeConstraint<T>("T");
  // The sizes of the result are wanted on the host.
  if (op != conv::Op::kForward) builder.HostMemory(conv::Call(op).name(conv::result_of(op)));
  tensorflow::kernel_factory::OpKernelRegistrar(builder.Build(), "TfDwbpDepthwiseOp",
                                                make_kernel<DepthwiseOp<op, T, Device>>);
}

template <typename T, typename Device>
void register_kernels_of_type(const char* device) {
  register_kernel<conv::Op::kForward, T, Device>(device);
  register_kernel<conv::Op::kInputGrad, T, Device>(device);
  register_kernel<conv::Op::kFilterGrad, T, Device>(device);
}

// Not REGISTER_KERNEL_BUILDER, which does not look first; returns whether it registered them.
template <typename Device>
bool register_kernels(const char* device) {
  if (!is_first_copy()) return false;
  register_kernels_of_type<Eigen::half, Device>(device);
  register_kernels_of_type<Eigen::bfloat16, Device>(device);
  register_kernels_of_type<float, Device>(device);
  register_kernels_of_type<double, Device>(device);
  return true;
}

}  // namespace tf_dwbp
