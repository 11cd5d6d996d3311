#include "cc/cpu/implementations.h"

#include <cstdlib>
#include <cstring>

#include "cc/cpu/direct.h"
#include "cc/cpu/eigen.h"
#include "cc/cpu/filter_grad.h"
#include "cc/cpu/packed.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {

using conv::Error;
using conv::Op;
using conv::Problem;

const std::vector<Implementation>& implementations(Op op) {
  static const std::vector<Implementation> kGather = {
      {"zeros", zeros_declines, plan_zeros},
      {"direct", direct_declines, plan_direct},
      {"packed", packed_declines, plan_packed},
      {"eigen", eigen_declines, plan_eigen},
  };
  static const std::vector<Implementation> kFilterGrad = {
      {"zeros", zeros_declines, plan_zeros},
      {"direct", filter_grad_direct_declines, plan_filter_grad_direct},
      {"packed", filter_grad_packed_declines, plan_filter_grad_packed},
      {"tapwise", filter_grad_tapwise_declines, plan_filter_grad_tapwise},
      {"eigen", eigen_declines, plan_eigen},
  };
  return op == Op::kFilterGrad ? kFilterGrad : kGather;
}

Error choose(const Problem& problem, const Implementation** chosen) {
  static const char* const kWanted = std::getenv("TF_DWBP_IMPL");
  const bool any = kWanted == nullptr || *kWanted == '\0';
  std::string others;
  for (const Implementation& candidate : implementations(problem.op)) {
    // A problem without products has nothing to force.
    const bool wanted =
        any || candidate.declines == zeros_declines || std::strcmp(kWanted, candidate.name) == 0;
    const std::string why = candidate.declines(problem);
    if (wanted && why.empty()) {
      *chosen = &candidate;
      return "";
    }
    others += (others.empty() ? "" : "; ") + std::string(candidate.name) +
              (why.empty() ? " takes it" : " declines: " + why);
  }
  return std::string("TF_DWBP_IMPL is '") + kWanted + "', which does not compute " +
         to_text(problem) + ": " + others;
}

}  // namespace tf_dwbp::cpu
