#include "cc/cpu/filter_grad.h"

#include "cc/cpu/cost.h"
#include "cc/cpu/filter_grad_plan.h"
#include "cc/cpu/filter_grad_worker.h"
#include "cc/cpu/run_items.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Geometry;
using conv::Problem;
using Mode = FilterGradPlan::Mode;

FilterGradPlan cut(Mode mode, const Problem& problem, int64_t workers) {
  return FilterGradPlan(mode, problem.geometry, dispatch(), bytes_of(problem.dtype),
                        accumulator_bytes_of(problem.dtype), workers);
}

template <typename T>
class FilterGrad : public Plan {
  using Acc = AccumulatorOf<T>;

 public:
  FilterGrad(Mode mode, const Problem& problem, int64_t workers)
      : Plan(problem, workers),
        plan_(cut(mode, problem, workers)),
        scratch_(problem.geometry, plan_, &worker_layout_) {
    WorkspaceLayout layout;
    sums_ = layout.add<Acc>(plan_.parts * plan_.sums);
    worker_parts_ = WorkerParts(worker_layout_, workers, &layout);
    workspace_bytes = layout.bytes();
  }

  void run(const Tensors& tensors, const Parallel& parallel) const override {
    const Geometry& g = problem.geometry;
    count(plan_.mode == Mode::kDirect   ? Path::kFilterDirect
          : plan_.mode == Mode::kPacked ? Path::kFilterPacked
                                        : Path::kFilterTapwise);
    if (plan_.prefetches) count(Path::kFilterPrefetch);
    if (plan_.few_channels && plan_.images > 1) count(Path::kFilterShared);
    const FilterGradCall<T> call{
        g,
        plan_,
        static_cast<const T*>(tensors.a),
        static_cast<const T*>(tensors.b),
        static_cast<T*>(tensors.result),
        sums_.in(tensors.workspace),
        TensorStrides(g.layout, g.channels, g.height.in, g.width.in),
        TensorStrides(g.layout, g.out_channels(), g.height.out, g.width.out)};
    run_items<FilterGradWorker<T>>(*this, plan_.items(), cycles_of(problem, plan_), parallel, call,
                                   scratch_, worker_parts_, tensors.workspace);
    if (plan_.parts > 1) {
      const ScopedIeeeDenormals ieee;
      reduce_filter_parts(call, 0, plan_.channel_blocks);
    }
  }

  std::string describe() const override {
    std::string text = "visits of " + std::to_string(plan_.visit_rows) + " rows x " +
                       std::to_string(plan_.block_columns) + " columns";
    if (plan_.mode != Mode::kDirect) {
      text += ", " + std::to_string(plan_.band_rows) + " rows packed at a time";
    }
    if (plan_.few_channels && plan_.images > 1) {
      text += ", vectors shared by " + std::to_string(plan_.images) + " images";
    }
    return text + "; " + std::to_string(plan_.vertical.size()) + " x " +
           std::to_string(plan_.horizontal.size()) + " sets of taps; " +
           std::to_string(plan_.items()) + " items: " + std::to_string(plan_.parts) +
           " parts of the positions x " + std::to_string(plan_.chunks) + " chunks of channels" +
           (plan_.prefetches ? "; prefetches rows" : "");
  }

 private:
  const FilterGradPlan plan_;
  WorkspaceLayout worker_layout_;
  const FilterGradScratch<T> scratch_;
  Part<Acc> sums_;
  WorkerParts worker_parts_;
};

PlanPointer make(Mode mode, const Problem& problem, int64_t workers) {
  return with_dtype(problem.dtype, [&](auto t) -> PlanPointer {
    return std::make_unique<FilterGrad<decltype(t)>>(mode, problem, workers);
  });
}

}  // namespace

std::string filter_grad_direct_declines(const Problem& problem) {
  const Geometry& g = problem.geometry;
  std::string none = declines_without_products(problem);
  if (!none.empty()) return none;
  if (g.layout != conv::Layout::kNHWC) return "channels are adjacent in NHWC alone";
  if (g.multiplier != 1) return "the depth multiplier is not 1";
  if (FilterGradPlan::few(g, accumulator_bytes_of(problem.dtype))) {
    return std::to_string(g.channels) + " channels are too few: images share vectors";
  }
  return "";
}

PlanPointer plan_filter_grad_direct(const Problem& problem, int64_t workers) {
  return make(Mode::kDirect, problem, workers);
}

std::string filter_grad_packed_declines(const Problem& problem) {
  std::string none = declines_without_products(problem);
  if (!none.empty()) return none;
  if (cut(Mode::kPacked, problem, /*workers=*/1).fits) return "";
  return "what one visit needs of the input is too large to be packed";
}

PlanPointer plan_filter_grad_packed(const Problem& problem, int64_t workers) {
  return make(Mode::kPacked, problem, workers);
}

// It takes every problem that has products.
std::string filter_grad_tapwise_declines(const Problem& problem) {
  return declines_without_products(problem);
}

PlanPointer plan_filter_grad_tapwise(const Problem& problem, int64_t workers) {
  return make(Mode::kTapwise, problem, workers);
}

}  // namespace tf_dwbp::cpu
