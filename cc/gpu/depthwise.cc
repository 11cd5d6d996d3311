#include "cc/gpu/depthwise.h"

#include "cc/conv/implementations.h"
#include "cc/conv/verbose.h"
#include "cc/gpu/implementations.h"

namespace tf_dwbp::gpu {

using conv::Error;
using conv::Problem;

Error make_plan(const Problem& problem, PlanPointer* plan) {
  const Implementation* chosen = nullptr;
  const Error error = choose(problem, &chosen);
  if (!error.empty()) return error;
  *plan = chosen->plan(problem);
  (*plan)->implementation = chosen->name;
  return "";
}

Error run(const Plan& plan, const Tensors& tensors, void* stream) {
  if (!conv::verbose()) return plan.run(tensors, stream);
  const conv::Stopwatch watch;
  Error error = plan.run(tensors, stream);
  conv::print_call("cuda", "gpu", plan.implementation, plan.problem, watch.milliseconds(),
                   "ms to launch");
  return error;
}

std::string explain(const Problem& problem) {
  return conv::explain(problem, "cuda", implementations(), [&](const Implementation& chosen) {
    const PlanPointer plan = chosen.plan(problem);
    return conv::Described{plan->describe(), plan->workspace_bytes};
  });
}

}  // namespace tf_dwbp::gpu
