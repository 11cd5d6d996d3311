// What TensorFlow, and XLA, know the ops by.
#pragma once

#include "cc/conv/call.h"

namespace tf_dwbp {

inline constexpr conv::Op kOps[] = {conv::Op::kForward, conv::Op::kInputGrad,
                                    conv::Op::kFilterGrad};

constexpr const char* op_name(conv::Op op) {
  return op == conv::Op::kForward     ? "TfDwbp>DepthwiseConv2dNative"
         : op == conv::Op::kInputGrad ? "TfDwbp>DepthwiseConv2dNativeBackpropInput"
                                      : "TfDwbp>DepthwiseConv2dNativeBackpropFilter";
}

}  // namespace tf_dwbp
