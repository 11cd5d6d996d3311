// A problem: an op, a type and sizes. All that decides how it is computed; and its text.
#pragma once

#include <array>
#include <string>

#include "cc/conv/call.h"
#include "cc/conv/dtype.h"
#include "cc/conv/epilogue.h"
#include "cc/conv/export.h"
#include "cc/conv/geometry.h"

namespace tf_dwbp::conv {

#define TF_DWBP_LIST(kind, T, name) Dtype::kind,
inline constexpr std::array kDtypes = {TF_DWBP_DTYPES(TF_DWBP_LIST)};
#undef TF_DWBP_LIST

struct Problem {
  Op op;
  Dtype dtype;
  Geometry geometry;
  Epilogue epilogue = {};  // the forward op's; empty for the others
};

// Of the tensor that the op computes.
constexpr int64_t result_elements(const Problem& problem) {
  const Geometry& g = problem.geometry;
  const Operand result = result_of(problem.op);
  return result == Operand::kInput    ? g.input_elements()
         : result == Operand::kFilter ? g.filter_elements()
                                      : g.output_elements();
}

// The text that stands for a problem in all tools, such as
//   input_grad:float:NHWC:b32:56x56x128m1:k3x3:s2x2:d1x1:SAME
// op, dtype, layout, batch, height x width x channels with the depth multiplier, filter, strides,
// dilations (rows first) and padding; explicit padding is EXPLICIT(top,bottom,left,right). Of the
// forward op, an epilogue may follow (see epilogue.h), such as :bias+relu6.
// tf_dwbp/tools/problem.py reads and writes the same.
TF_DWBP_EXPORT std::string to_text(const Problem& problem);

// Reads it, and checks the call that it stands for as any other.
[[nodiscard]] TF_DWBP_EXPORT Error read_problem(const std::string& text, Problem* problem);

}  // namespace tf_dwbp::conv
