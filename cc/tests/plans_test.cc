// The plans of fixed problems: a problem has one, and a change of the planners is seen in them.

#include <cstdio>
#include <string>

#include "cc/cpu/implementations.h"
#include "cc/tests/check.h"
#include "cc/tests/definition.h"

namespace tf_dwbp::testing {
namespace {

// Of every implementation that takes it: the one that is chosen may change.
void see_plans_of(const conv::Problem& problem) {
  for (const int64_t workers : {1, 2, 8}) {
    for (const cpu::Implementation& by : cpu::implementations(problem.op)) {
      if (!by.declines(problem).empty()) continue;
      const cpu::PlanPointer plan = by.plan(problem, workers), again = by.plan(problem, workers);
      const std::string text = plan->describe();
      check(plan->workspace_bytes == again->workspace_bytes && text == again->describe(),
            by.name + (": " + to_text(problem)));
      if (!options().plans) continue;
      std::printf("%s, %lld workers, %s, %lld bytes: %s\n", to_text(problem).c_str(),
                  static_cast<long long>(workers), by.name,
                  static_cast<long long>(plan->workspace_bytes), text.c_str());
    }
  }
}

// Some hundreds of problems, of all ops, layouts and types, small ones and large ones. With --plans
// a line for each implementation that takes it and each number of workers.
TF_DWBP_TEST(plans_are_made_again) {
  const Axis axes[][2] = {
      {{56, 56, 3, 1, 1, 1}, {56, 56, 3, 1, 1, 1}},
      {{112, 56, 3, 2, 1, 0}, {112, 56, 3, 2, 1, 0}},
      {{14, 14, 7, 1, 1, 3}, {15, 15, 5, 1, 1, 2}},
      {{33, 33, 3, 1, 2, 2}, {65, 65, 3, 1, 4, 4}},
      {{60, 20, 5, 3, 1, 1}, {61, 31, 4, 2, 2, 3}},
      {{2, 2, 3, 1, 1, 1}, {1000, 1000, 3, 1, 1, 1}},
      {{260, 130, 2, 2, 1, 0}, {7, 7, 3, 1, 1, 1}},
      {{300, 1, 300, 1, 1, 0}, {600, 256, 3, 1, 172, 0}},
  };
  int number = 0;
  for (const auto& [height, width] : axes)
    for (const int64_t channels : {1, 3, 24, 128, 517, 2048})
      for (const int64_t batch : {1, 5, 64})
        for (const int64_t multiplier : {1, 3}) {
          // The types take turns.
          constexpr Dtype kDtypes[] = {Dtype::kHalf, Dtype::kFloat, Dtype::kBfloat16,
                                       Dtype::kDouble, Dtype::kFloat};
          const Dtype dtype = kDtypes[number++ % 5];
          for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
            for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) {
              if (!options().plans && !sampled()) continue;
              see_plans_of({op, dtype, {layout, batch, channels, multiplier, height, width}});
            }
        }
}

}  // namespace
}  // namespace tf_dwbp::testing
