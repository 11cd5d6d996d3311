#include "cc/gpu/zeros.h"

#include "cc/conv/implementations.h"
#include "cc/gpu/kernels/kernels.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Problem;

class Zeros : public Plan {
 public:
  using Plan::Plan;

  conv::Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).zeros(result_elements(problem), tensors.result, stream);
  }

  std::string describe() const override { return "the result has no products, and is zeros"; }
};

}  // namespace

std::string zeros_declines(const Problem& problem) {
  const bool filled = problem.epilogue.bias && result_elements(problem) > 0;
  return filled ? "the result is the epilogue of a bias" : conv::zeros_declines(problem);
}

PlanPointer plan_zeros(const Problem& problem) { return std::make_unique<Zeros>(problem); }

}  // namespace tf_dwbp::gpu
