#include "cc/cpu/implementations.h"

#include "cc/conv/implementations.h"
#include "cc/cpu/direct.h"
#include "cc/cpu/eigen.h"
#include "cc/cpu/filter_grad.h"
#include "cc/cpu/lines.h"
#include "cc/cpu/packed.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {

using conv::Error;
using conv::Op;
using conv::Problem;

const std::vector<Implementation>& implementations(Op op) {
  static const std::vector<Implementation> kGather = {
      {conv::kZeros, zeros_declines, plan_zeros}, {"lines", lines_declines, plan_lines},
      {"direct", direct_declines, plan_direct},   {"packed", packed_declines, plan_packed},
      {"eigen", eigen_declines, plan_eigen},
  };
  static const std::vector<Implementation> kFilterGrad = {
      {conv::kZeros, zeros_declines, plan_zeros},
      {"lines", filter_grad_lines_declines, plan_filter_grad_lines},
      {"direct", filter_grad_direct_declines, plan_filter_grad_direct},
      {"packed", filter_grad_packed_declines, plan_filter_grad_packed},
      {"tapwise", filter_grad_tapwise_declines, plan_filter_grad_tapwise},
      {"eigen", eigen_declines, plan_eigen},
  };
  return op == Op::kFilterGrad ? kFilterGrad : kGather;
}

Error choose(const Problem& problem, const Implementation** chosen) {
  return conv::choose(problem, implementations(problem.op), chosen);
}

}  // namespace tf_dwbp::cpu
