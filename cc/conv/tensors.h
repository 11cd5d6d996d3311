// Where a call's tensors lie: in the memory of the device that computes it.
#pragma once

namespace tf_dwbp::conv {

// They may lie at any address that suits their elements: `result` is conv::result_of(op), `a` and
// `b` are the other two, in conv::Operand's order. The workspace is aligned to 64 bytes.
struct Tensors {
  const void* a;
  const void* b;
  void* result;
  void* workspace;
  const void* bias = nullptr;  // [channels of the output], if the epilogue has one
};

}  // namespace tf_dwbp::conv
