// What the OpKernels of all devices do: read the call, check it, allocate the result.
#pragma once

#include "cc/conv/call.h"
#include "cc/cpu/element.h"
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
    using conv::Operand;
    constexpr Operand kResult = conv::result_of(op);
    conv::Call call(op);
    call.attributes = attributes_;
    const tensorflow::Tensor* given[2];
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
    OP_REQUIRES_OK(context, Device::check_result(call.name(kResult), sizes, sizeof(T)));

    tensorflow::TensorShape shape;
    OP_REQUIRES_OK(context, tensorflow::TensorShape::BuildTensorShape(*sizes, &shape));
    tensorflow::Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &result));

    using K = typename KernelType<T>::Type;
    const auto data = [](const tensorflow::Tensor& tensor) {
      return reinterpret_cast<const K*>(tensor.flat<T>().data());
    };
    OP_REQUIRES_OK(context, Device::template run<K>(context, op, conv::geometry_of(call),
                                                    data(*given[0]), data(*given[1]), result));
  }

 private:
  conv::Attributes attributes_;
};

// The names of the ops, and where they take the sizes of the result from the host.
#define TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, T)                                  \
  REGISTER_KERNEL_BUILDER(                                                        \
      Name("TfDwbp>DepthwiseConv2dNative").Device(DEVICE).TypeConstraint<T>("T"), \
      DepthwiseOp<conv::Op::kForward, T, POLICY>);                                \
  REGISTER_KERNEL_BUILDER(Name("TfDwbp>DepthwiseConv2dNativeBackpropInput")       \
                              .Device(DEVICE)                                     \
                              .TypeConstraint<T>("T")                             \
                              .HostMemory("input_sizes"),                         \
                          DepthwiseOp<conv::Op::kInputGrad, T, POLICY>);          \
  REGISTER_KERNEL_BUILDER(Name("TfDwbp>DepthwiseConv2dNativeBackpropFilter")      \
                              .Device(DEVICE)                                     \
                              .TypeConstraint<T>("T")                             \
                              .HostMemory("filter_sizes"),                        \
                          DepthwiseOp<conv::Op::kFilterGrad, T, POLICY>)
#define TF_DWBP_REGISTER(DEVICE, POLICY)                  \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, Eigen::half);     \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, Eigen::bfloat16); \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, float);           \
  TF_DWBP_REGISTER_TYPE(DEVICE, POLICY, double)

}  // namespace tf_dwbp
