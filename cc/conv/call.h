// A depthwise convolution call as far as it is known: while tracing, sizes may be missing.
// Every check on shapes, and every error text about them, is here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/conv/attributes.h"
#include "cc/conv/epilogue.h"
#include "cc/conv/export.h"
#include "cc/conv/geometry.h"

namespace tf_dwbp::conv {

constexpr int64_t kUnknown = -1;

// A shape, or nullopt when not even the rank is known; a size may be kUnknown.
using Shape = std::optional<std::vector<int64_t>>;

// The three tensors that a convolution relates. An op computes one of them, or its gradient, from
// the other two, or their gradients; all ops take them in this order.
enum class Operand { kInput, kFilter, kOutput };

// Named by what they compute.
enum class Op { kForward, kInputGrad, kFilterGrad };

constexpr const char* name_of(Op op) {
  return op == Op::kForward ? "forward" : op == Op::kInputGrad ? "input_grad" : "filter_grad";
}

constexpr Operand result_of(Op op) {
  return op == Op::kForward     ? Operand::kOutput
         : op == Op::kInputGrad ? Operand::kInput
                                : Operand::kFilter;
}

// What an op computes its result from, in the order of its arguments.
struct Operands {
  Operand a, b;
};

constexpr Operands operands_of(Op op) {
  return {op == Op::kInputGrad ? Operand::kFilter : Operand::kInput,
          op == Op::kForward ? Operand::kFilter : Operand::kOutput};
}

struct TF_DWBP_EXPORT Call {
  explicit Call(Op op);

  Op op;
  // What the op's user knows the operands by.
  const char* input_name;
  const char* filter_name;
  const char* output_name;
  Attributes attributes;
  Shape input;
  Shape filter;
  Shape output;
  // The forward op's.
  Epilogue epilogue;
  Shape bias;  // if the epilogue has one

  Shape& shape(Operand operand);
  const char* name(Operand operand) const;
};

// Checks the sizes that are given as data, before they become a shape: four, none negative.
[[nodiscard]] Error check_sizes(const char* name, const std::vector<int64_t>& sizes);

// Checks all that is known, and completes each shape to its four sizes, or the bias's one, with
// what the others imply.
[[nodiscard]] TF_DWBP_EXPORT Error check_call(Call* call);

// The geometry of a call that check_call() has passed and whose sizes are all known.
TF_DWBP_EXPORT Geometry geometry_of(const Call& call);

}  // namespace tf_dwbp::conv
