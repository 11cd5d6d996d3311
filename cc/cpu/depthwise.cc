#include "cc/cpu/depthwise.h"

#include "cc/conv/implementations.h"
#include "cc/conv/verbose.h"
#include "cc/cpu/implementations.h"
#include "cc/cpu/runtime/isa.h"

namespace tf_dwbp::cpu {

using conv::Error;
using conv::Problem;

Error make_plan(const Problem& problem, int64_t workers, PlanPointer* plan) {
  const Implementation* chosen = nullptr;
  const Error error = choose(problem, &chosen);
  if (!error.empty()) return error;
  *plan = chosen->plan(problem, workers);
  (*plan)->implementation = chosen->name;
  return "";
}

void run(const Plan& plan, const Tensors& tensors, const Parallel& parallel) {
  if (!conv::verbose()) return plan.run(tensors, parallel);
  const conv::Stopwatch watch;
  plan.run(tensors, parallel);
  conv::print_call("cpu", isa().name, plan.implementation, plan.problem, watch.milliseconds(),
                   "ms");
}

std::string explain(const Problem& problem, int64_t workers) {
  const std::string device = std::string("cpu, ") + isa().name + ", " + std::to_string(workers) +
                             (workers == 1 ? " worker" : " workers");
  return conv::explain(problem, device, implementations(problem.op),
                       [&](const Implementation& chosen) {
                         const PlanPointer plan = chosen.plan(problem, workers);
                         return conv::Described{plan->describe(), plan->workspace_bytes};
                       });
}

}  // namespace tf_dwbp::cpu
