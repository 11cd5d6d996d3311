// How TensorFlow's factories make our kernels.
#pragma once

#include "absl/status/status.h"
#include "cc/tensorflow/read_call.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_dwbp {

template <typename Kernel>
tensorflow::OpKernel* make_kernel(tensorflow::OpKernelConstruction* context) {
  Kernel* kernel = nullptr;
  const absl::Status status = without_bad_alloc([&] {
    kernel = new Kernel(context);
    return absl::OkStatus();
  });
  if (!status.ok()) context->SetStatus(status);
  return kernel;
}

}  // namespace tf_dwbp
