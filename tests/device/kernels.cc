// The device's kernels for TensorFlow's three depthwise ops, float and double.

#include "tensorflow/c/kernels.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "convolution.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace my_npu {
namespace {

constexpr char kDevice[] = "MY_NPU";

struct DeleteStatus {
  void operator()(TF_Status* status) const { TF_DeleteStatus(status); }
};
struct DeleteTensor {
  void operator()(TF_Tensor* tensor) const { TF_DeleteTensor(tensor); }
};
using StatusPtr = std::unique_ptr<TF_Status, DeleteStatus>;
using TensorPtr = std::unique_ptr<TF_Tensor, DeleteTensor>;
using Sizes = std::array<int64_t, 4>;

std::vector<int32_t> GetList(TF_OpKernelConstruction* context, const char* name,
                             TF_Status* status) {
  int32_t length = 0, total = 0;
  TF_OpKernelConstruction_GetAttrSize(context, name, &length, &total, status);
  if (TF_GetCode(status) != TF_OK || length == 0) return {};
  std::vector<int32_t> values(length);
  TF_OpKernelConstruction_GetAttrInt32List(context, name, values.data(), length, status);
  return values;
}

std::string GetString(TF_OpKernelConstruction* context, const char* name, TF_Status* status) {
  int32_t length = 0, total = 0;
  TF_OpKernelConstruction_GetAttrSize(context, name, &length, &total, status);
  if (TF_GetCode(status) != TF_OK) return "";
  std::string text(total, '\0');
  TF_OpKernelConstruction_GetAttrString(context, name, text.data(), total, status);
  return text;
}

struct Kernel {
  std::vector<int32_t> strides, dilations, explicit_paddings;
  Padding padding;
  bool nchw;
};

void* CreateKernel(TF_OpKernelConstruction* context) {
  StatusPtr status(TF_NewStatus());
  auto kernel = std::make_unique<Kernel>();
  kernel->strides = GetList(context, "strides", status.get());
  kernel->dilations = GetList(context, "dilations", status.get());
  kernel->explicit_paddings = GetList(context, "explicit_paddings", status.get());
  const std::string padding = GetString(context, "padding", status.get());
  kernel->padding = padding == "SAME"    ? Padding::kSame
                    : padding == "VALID" ? Padding::kValid
                                         : Padding::kExplicit;
  kernel->nchw = GetString(context, "data_format", status.get()) == "NCHW";
  kernel->explicit_paddings.resize(8);  // of other paddings there are none
  if (TF_GetCode(status.get()) == TF_OK &&
      (kernel->strides.size() != 4 || kernel->dilations.size() != 4)) {
    TF_SetStatus(status.get(), TF_INVALID_ARGUMENT, "strides and dilations must have 4 values");
  }
  if (TF_GetCode(status.get()) != TF_OK) {
    TF_OpKernelConstruction_Failure(context, status.get());
    return nullptr;
  }
  return kernel.release();
}

void DeleteKernel(void* kernel) { delete static_cast<Kernel*>(kernel); }

Sizes Shape(const TF_Tensor* tensor) {
  Sizes sizes{};
  for (int i = 0; i < 4; ++i) sizes[i] = TF_Dim(tensor, i);
  return sizes;
}

// `input` and `output` are shapes of images, `filter` is the filter's.
Problem MakeProblem(const Kernel& kernel, const Sizes& input, const Sizes& filter) {
  const int first = kernel.nchw ? 2 : 1;  // spatial axis
  const auto axis = [&](int i) {
    const int at = first + i;
    return MakeAxis(input[at], filter[i], kernel.strides[at], kernel.dilations[at], kernel.padding,
                    kernel.explicit_paddings[2 * at], kernel.explicit_paddings[2 * at + 1]);
  };
  return {input[0], filter[2], filter[3], axis(0), axis(1), kernel.nchw};
}

Sizes OutputShape(const Problem& problem) {
  const int64_t channels = problem.channels * problem.multiplier;
  if (problem.nchw) return {problem.batch, channels, problem.rows.output, problem.columns.output};
  return {problem.batch, problem.rows.output, problem.columns.output, channels};
}

template <Op kOp, typename T, TF_DataType kType>
void ComputeKernel(void* pointer, TF_OpKernelContext* context) {
  const Kernel& kernel = *static_cast<Kernel*>(pointer);
  StatusPtr status(TF_NewStatus());
  std::array<TensorPtr, 3> inputs;
  for (int i = 0; i < TF_NumInputs(context); ++i) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context, i, &tensor, status.get());
    inputs[i].reset(tensor);
    if (TF_GetCode(status.get()) != TF_OK) return TF_OpKernelContext_Failure(context, status.get());
  }
  // A gradient has the sizes of its result among its arguments.
  constexpr int kSizes = kOp == Op::kInputGrad ? 0 : kOp == Op::kFilterGrad ? 1 : -1;
  Sizes given{};
  if constexpr (kSizes >= 0) {
    const TF_Tensor* sizes = inputs[kSizes].get();
    if (TF_TensorElementCount(sizes) != 4) {
      TF_SetStatus(status.get(), TF_INVALID_ARGUMENT, "sizes must be four numbers");
      return TF_OpKernelContext_Failure(context, status.get());
    }
    const auto* values = static_cast<const int32_t*>(TF_TensorData(sizes));
    std::copy(values, values + 4, given.begin());
  }
  const Sizes input = kOp == Op::kInputGrad ? given : Shape(inputs[0].get());
  const Sizes filter = kOp == Op::kFilterGrad ? given : Shape(inputs[1].get());
  BeginCall();
  const Problem problem = MakeProblem(kernel, input, filter);
  const Sizes shape = kOp == Op::kForward ? OutputShape(problem) : given;
  int64_t size = 1;
  for (int64_t one : shape) size *= one;
  TensorPtr result(
      TF_AllocateOutput(context, 0, kType, shape.data(), 4, size * sizeof(T), status.get()));
  if (TF_GetCode(status.get()) != TF_OK) return TF_OpKernelContext_Failure(context, status.get());
  if (size == 0) return;
  const TensorPtr& a = inputs[kOp == Op::kInputGrad ? 1 : 0];
  const TensorPtr& b = inputs[kOp == Op::kForward ? 1 : 2];
  Compute(kOp, problem, static_cast<const T*>(TF_TensorData(a.get())),
          static_cast<const T*>(TF_TensorData(b.get())),
          static_cast<T*>(TF_TensorData(result.get())), size);
}

template <Op kOp, typename T, TF_DataType kType>
void RegisterOfType(const char* op, const char* sizes) {
  StatusPtr status(TF_NewStatus());
  TF_KernelBuilder* builder =
      TF_NewKernelBuilder(op, kDevice, CreateKernel, ComputeKernel<kOp, T, kType>, DeleteKernel);
  TF_KernelBuilder_TypeConstraint(builder, "T", kType, status.get());
  if (sizes) TF_KernelBuilder_HostMemory(builder, sizes);
  TF_RegisterKernelBuilder(op, builder, status.get());
  if (TF_GetCode(status.get()) != TF_OK) std::abort();
}

template <Op kOp>
void Register(const char* op, const char* sizes = nullptr) {
  RegisterOfType<kOp, float, TF_FLOAT>(op, sizes);
  RegisterOfType<kOp, double, TF_DOUBLE>(op, sizes);
}

}  // namespace
}  // namespace my_npu

extern "C" void TF_InitKernel() {
  using my_npu::Op;
  my_npu::Register<Op::kForward>("DepthwiseConv2dNative");
  my_npu::Register<Op::kInputGrad>("DepthwiseConv2dNativeBackpropInput", "input_sizes");
  my_npu::Register<Op::kFilterGrad>("DepthwiseConv2dNativeBackpropFilter", "filter_sizes");
}
