#include "cc/cpu/eigen.h"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "cc/cpu/eigen_cut.h"
#include "cc/cpu/eigen_worker.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Problem;
using eigen::add_compensated;
using eigen::convert;
using eigen::Cut;
using eigen::Worker;

// Adds up, and rounds, what the parts have summed for a block of the filter.
template <typename T>
void finish(const Cut<T>& cut, int64_t block, const AccumulatorOf<T>* sums, T* result) {
  using Acc = AccumulatorOf<T>;
  const int64_t channel = block * cut.lanes, count = std::min(cut.lanes, cut.g.channels - channel);
  for (int64_t tap = 0; tap < cut.taps; ++tap) {
    T* const to = result + (cut.taps - 1 - tap) * cut.g.channels + channel;
    for (int64_t lane = 0; lane < count; ++lane) {
      const Acc* from = sums + 2 * block * cut.parts * cut.filter.count + tap * cut.lanes + lane;
      Acc sum = 0, lost = 0;
      for (int64_t part = 0; part < cut.parts; ++part, from += 2 * cut.filter.count) {
        add_compensated(from[0], &sum, &lost);
        lost += from[cut.filter.count];
      }
      // Beside an Inf or NaN nothing is lost that would be a number.
      convert(sum + (lost - lost == 0 ? lost : 0), &to[lane]);
    }
  }
}

template <typename T>
class EigenPlan : public Plan {
 public:
  EigenPlan(const Problem& problem, int64_t workers)
      : Plan(problem, workers), cut_(problem, workers) {
    workspace_bytes = cut_.workspace_bytes;
  }

  void run(const Tensors& tensors, const Parallel& parallel) const override {
    const bool swapped = problem.op == conv::Op::kInputGrad;
    const auto* const source = static_cast<const T*>(swapped ? tensors.b : tensors.a);
    const auto* const other = static_cast<const T*>(swapped ? tensors.a : tensors.b);
    auto* const result = static_cast<T*>(tensors.result);
    auto* const sums = cut_.sums.in(tensors.workspace);
    share(parallel, workers, cut_.items, cut_.cycles(problem), [&](Items* items, int64_t worker) {
      const ScopedIeeeDenormals ieee;
      Worker<T> runner(cut_, source, other, static_cast<const T*>(tensors.bias),
                       cut_.worker_parts.of(worker, tensors.workspace));
      for (int64_t item; items->take(worker, &item);) {
        if (cut_.filter_grad) {
          runner.sum_filter(item, sums + item * 2 * cut_.filter.count);
        } else {
          runner.gather(item, result);
        }
      }
    });
    if (!cut_.filter_grad) return;
    const double cycles = 10.0 * cut_.filter.count * cut_.parts * cut_.blocks;
    share(parallel, workers, cut_.blocks, cycles, [&](Items* items, int64_t worker) {
      const ScopedIeeeDenormals ieee;
      for (int64_t block; items->take(worker, &block);) finish(cut_, block, sums, result);
    });
  }

  std::string describe() const override {
    return std::string(cut_.direct_from ? "straight from the tensor" : "by a packed tile") + ", " +
           std::to_string(cut_.columns) + " columns x " + std::to_string(cut_.lanes) +
           " channels at a time; " + std::to_string(cut_.items) +
           " items: " + std::to_string(cut_.blocks) + " blocks of channels x " +
           std::to_string(cut_.items / cut_.blocks / cut_.parts) + " of images x " +
           std::to_string(cut_.parts) + " of rows";
  }

 private:
  const Cut<T> cut_;
};

}  // namespace

std::string eigen_declines(const Problem& problem) { return declines_without_products(problem); }

PlanPointer plan_eigen(const Problem& problem, int64_t workers) {
  return with_dtype(problem.dtype, [&](auto t) -> PlanPointer {
    return std::make_unique<EigenPlan<decltype(t)>>(problem, workers);
  });
}

}  // namespace tf_dwbp::cpu
