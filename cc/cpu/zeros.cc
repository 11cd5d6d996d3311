#include "cc/cpu/zeros.h"

#include <cstring>

#include "cc/cpu/runtime/paths.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Problem;

int64_t result_elements(const Problem& problem) {
  const conv::Geometry& g = problem.geometry;
  switch (problem.op) {
    case conv::Op::kForward:
      return g.output_elements();
    case conv::Op::kInputGrad:
      return g.input_elements();
    case conv::Op::kFilterGrad:
      break;
  }
  return g.filter_elements();
}

class Zeros : public Plan {
 public:
  using Plan::Plan;

  void run(const Tensors& tensors, const Parallel&) const override {
    count(Path::kZeros);
    const int64_t bytes = result_elements(problem) * bytes_of(problem.dtype);
    if (bytes > 0) std::memset(tensors.result, 0, bytes);
  }

  std::string describe() const override { return "the result has no products, and is zeros"; }
};

}  // namespace

std::string zeros_declines(const Problem& problem) {
  const conv::Geometry& g = problem.geometry;
  if (g.input_elements() == 0 || g.filter_elements() == 0 || g.output_elements() == 0) return "";
  return "there are products to sum";
}

PlanPointer plan_zeros(const Problem& problem, int64_t workers) {
  return std::make_unique<Zeros>(problem, workers);
}

}  // namespace tf_dwbp::cpu
