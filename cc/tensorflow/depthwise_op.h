// What the OpKernels of all devices do: read the call, check it, allocate the result.
#pragma once

#include "cc/conv/call.h"
#include "cc/cpu/element.h"
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

// Device knows where things run:
//   absl::Status check_result(const char* name, const conv::Shape& sizes, int64_t element_bytes)
//     whether it could hold a result of that shape
//   absl::Status run<K>(OpKernelContext*, conv::Op, const conv::Geometry&, const K* a, const K* b,
//                       tensorflow::Tensor* result)
template <conv::Op op, typename T, typename Device>
class DepthwiseOp : public tensorflow::OpKernel {
 public:
  explicit DepthwiseOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, read_attributes(context, &attributes_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    constexpr conv::Operand kResult = conv::result_of(op);
    conv::Call call(op);
    call.attributes = attributes_;
    OP_REQUIRES_OK(context, read_call(
                                &call,
                                [context](int input, conv::Shape* shape) {
                                  *shape = to_shape(context->input(input).shape());
                                  return absl::OkStatus();
                                },
                                [context](int input, const char* name, conv::Shape* shape) {
                                  return read_sizes(name, context->input(input), shape);
                                }));
    const conv::Shape& sizes = call.shape(kResult);
    OP_REQUIRES_OK(context, Device::check_result(call.name(kResult), sizes, sizeof(T)));

    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(*sizes, &shape));
    tensorflow::Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));

    using K = typename KernelType<T>::Type;
    const auto data = [context](conv::Operand operand) {
      const tensorflow::Tensor& tensor = context->input(static_cast<int>(operand));
      return reinterpret_cast<const K*>(tensor.flat<T>().data());
    };
    constexpr conv::Operands kOperands = conv::operands_of(op);
    OP_REQUIRES_OK(context, Device::template run<K>(context, op, conv::geometry_of(call),
                                                    data(kOperands.a), data(kOperands.b), result));
  }

 private:
  conv::Attributes attributes_;
};

// Where the ops take the sizes of the result from the host.
#define TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, T)                                                   \
  REGISTER_KERNEL_BUILDER(Name(name_of(conv::Op::kForward)).Device(DEVICE).TypeConstraint<T>("T"), \
                          DepthwiseOp<conv::Op::kForward, T, POLICY>);                             \
  REGISTER_KERNEL_BUILDER(Name(name_of(conv::Op::kInputGrad))                                      \
                              .Device(DEVICE)                                                      \
                              .TypeConstraint<T>("T")                                              \
                              .HostMemory("input_sizes"),                                          \
                          DepthwiseOp<conv::Op::kInputGrad, T, POLICY>);                           \
  REGISTER_KERNEL_BUILDER(Name(name_of(conv::Op::kFilterGrad))                                     \
                              .Device(DEVICE)                                                      \
                              .TypeConstraint<T>("T")                                              \
                              .HostMemory("filter_sizes"),                                         \
                          DepthwiseOp<conv::Op::kFilterGrad, T, POLICY>)
#define TF_DWBP_REGISTER(DEVICE, POLICY)                  \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, Eigen::half);     \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, Eigen::bfloat16); \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, float);           \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, double)

}  // namespace tf_dwbp
