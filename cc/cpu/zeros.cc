#include "cc/cpu/zeros.h"

#include <cstring>

#include "cc/cpu/runtime/paths.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Problem;

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

PlanPointer plan_zeros(const Problem& problem, int64_t workers) {
  return std::make_unique<Zeros>(problem, workers);
}

}  // namespace tf_dwbp::cpu
