// THE list of what TensorFlow, and XLA, know the ops by: ours have stock's names after a prefix.
#pragma once

#include "cc/conv/call.h"

namespace tf_dwbp {

#define TF_DWBP_OPS(X)                                \
  X(kForward, "DepthwiseConv2dNative")                \
  X(kInputGrad, "DepthwiseConv2dNativeBackpropInput") \
  X(kFilterGrad, "DepthwiseConv2dNativeBackpropFilter")
#define TF_DWBP_PREFIX "TfDwbp>"

#define TF_DWBP_OP(op, name) conv::Op::op,
inline constexpr conv::Op kOps[] = {TF_DWBP_OPS(TF_DWBP_OP)};
#undef TF_DWBP_OP

#define TF_DWBP_NAME(op, name) name,
inline constexpr const char* kStockNames[] = {TF_DWBP_OPS(TF_DWBP_NAME)};
#undef TF_DWBP_NAME

// The forward op with an epilogue. Stock's has none that is public.
inline constexpr char kFusedName[] = TF_DWBP_PREFIX "FusedDepthwiseConv2dNative";

constexpr const char* op_name(conv::Op op) {
  switch (op) {
#define TF_DWBP_CASE(op, name) \
  case conv::Op::op:           \
    return TF_DWBP_PREFIX name;
    TF_DWBP_OPS(TF_DWBP_CASE)
#undef TF_DWBP_CASE
  }
  return "";
}

// Of an op, or, if `fused`, of the forward op with an epilogue.
constexpr const char* op_name(conv::Op op, bool fused) { return fused ? kFusedName : op_name(op); }

}  // namespace tf_dwbp
