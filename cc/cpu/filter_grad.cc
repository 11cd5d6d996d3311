#include "cc/cpu/filter_grad.h"

#include <cstring>

#include "cc/cpu/denormals.h"
#include "cc/cpu/filter_plan.h"
#include "cc/cpu/filter_worker.h"
#include "cc/cpu/paths.h"
#include "cc/cpu/steps.h"
#include "cc/cpu/tables.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Geometry;
using Mode = FilterPlan::Mode;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// As for the other ops, memory is left out.
double cycles_of_item(const Geometry& g, const FilterPlan& plan) {
  const double taps = static_cast<double>(g.height.filter) * g.width.filter;
  const double vectors = static_cast<double>(g.height.out) * g.width.out * plan.groups *
                         divide_up(g.batch, plan.images);
  return vectors * (4 + taps) / plan.items();
}

template <typename T>
FilterPlan plan_for(const Geometry& g, int64_t workers) {
  return FilterPlan(g, kernel_table(), sizeof(T), sizeof(AccumulatorOf<T>), workers);
}

bool empty(const Geometry& g) {
  return g.filter_elements() == 0 || g.output_elements() == 0 || g.input_elements() == 0;
}

}  // namespace

template <typename T>
int64_t filter_grad_workspace_bytes(const Geometry& g, int64_t workers) {
  if (empty(g)) return 0;
  return plan_for<T>(g, workers).total * sizeof(AccumulatorOf<T>);
}

template <typename T>
void filter_grad(const Geometry& g, int64_t workers, const T* input, const T* out_backprop,
                 T* result, void* workspace, const Parallel& parallel) {
  if (empty(g)) {
    count(Path::kEmpty);
    if (g.filter_elements() > 0) std::memset(result, 0, g.filter_elements() * sizeof(T));
    return;
  }
  const FilterPlan plan = plan_for<T>(g, workers);
  count(plan.mode == Mode::kDirect    ? Path::kFilterDirect
        : plan.mode == Mode::kWindows ? Path::kFilterPacked
                                      : Path::kFilterTapwise);
  if (plan.asks) count(Path::kFilterPrefetch);
  if (plan.few && plan.images > 1) count(Path::kFilterShared);
  auto* const sums = static_cast<AccumulatorOf<T>*>(workspace);
  auto* const scratch = sums + plan.parts * plan.sums;
  const FilterCall<T> call{g,
                           plan,
                           input,
                           out_backprop,
                           result,
                           sums,
                           Steps(g.layout, g.channels, g.height.in, g.width.in),
                           Steps(g.layout, g.out_channels(), g.height.out, g.width.out)};
  share(parallel, workers, plan.items(), cycles_of_item(g, plan),
        [&](Items* items, int64_t worker) {
          const ScopedIeeeDenormals ieee;
          FilterWorker<T> runner(call, scratch + worker * plan.worker);
          for (int64_t item; items->take(&item);) runner.run(item);
        });
  if (plan.parts > 1) {
    const ScopedIeeeDenormals ieee;
    finish_filter(call, 0, plan.groups);
  }
}

#define TF_DWBP_INSTANTIATE(T)                                                          \
  template int64_t filter_grad_workspace_bytes<T>(const Geometry&, int64_t);            \
  template void filter_grad<T>(const Geometry&, int64_t, const T*, const T*, T*, void*, \
                               const Parallel&)
TF_DWBP_INSTANTIATE(Half);
TF_DWBP_INSTANTIATE(Bfloat16);
TF_DWBP_INSTANTIATE(float);
TF_DWBP_INSTANTIATE(double);
#undef TF_DWBP_INSTANTIATE

}  // namespace tf_dwbp::cpu
