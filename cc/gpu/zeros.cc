#include "cc/gpu/zeros.h"

#include "cc/gpu/kernels/kernels.h"

namespace tf_dwbp::gpu {
namespace {

class Zeros : public Plan {
 public:
  using Plan::Plan;

  conv::Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).zeros(result_elements(problem), tensors.result, stream);
  }

  std::string describe() const override { return "the result has no products, and is zeros"; }
};

}  // namespace

PlanPointer plan_zeros(const conv::Problem& problem) { return std::make_unique<Zeros>(problem); }

}  // namespace tf_dwbp::gpu
