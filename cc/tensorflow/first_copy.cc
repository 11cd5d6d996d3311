#include "cc/tensorflow/first_copy.h"

#include "cc/conv/call.h"
#include "cc/tensorflow/names.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_dwbp {

bool is_first_copy() {
  // Kernels, not ops: while a library is being loaded, TensorFlow has its ops wait.
  static const bool first =
      tensorflow::GetRegisteredKernelsForOp(op_name(conv::Op::kForward)).kernel_size() == 0;
  return first;
}

}  // namespace tf_dwbp
