// The filter gradient on rows as they lie in memory: for NCHW, and for NHWC with channels that do
// not fill a vector.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "cc/cpu/cost.h"
#include "cc/cpu/filter_grad.h"
#include "cc/cpu/filter_grad_lines_plan.h"
#include "cc/cpu/filter_grad_lines_worker.h"
#include "cc/cpu/lines.h"
#include "cc/cpu/lines_source.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/run_items.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/tuning.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gathering;
using conv::Problem;

template <typename T>
class FilterGradLines : public Plan {
  using Acc = AccumulatorOf<T>;

 public:
  FilterGradLines(const Problem& problem, int64_t workers)
      : Plan(problem, workers),
        g_(gathering_of(problem)),
        plan_(g_, lanes<T>(), sizeof(Acc), workers),
        scratch_(plan_, &worker_layout_),
        sums_(layout_.add<Acc>(plan_.parts() * plan_.part_stride)),
        worker_parts_(worker_layout_, workers, &layout_) {
    workspace_bytes = layout_.bytes();
  }

  void run(const Tensors& tensors, const Parallel& parallel) const override {
    count(Path::kFilterLines);
    if (!plan_.lines.split.empty()) count(Path::kFilterLinesSplit);
    const FilterGradLinesCall<T> call{
        g_,
        plan_,
        {static_cast<const T*>(tensors.a),
         {g_.layout, g_.source_channels(), g_.height.source(), g_.width.source()}},
        {static_cast<const T*>(tensors.b),
         {g_.layout, g_.channels, g_.height.result(), g_.width.result()}},
        lines_prefetch(problem, plan_.lines),
        sums_.in(tensors.workspace)};
    std::fill_n(call.sums, sums_.count, Acc{0});
    const double cycles = cycles_of(problem, g_, ChannelBlocks(g_, lanes<T>()));
    run_items<FilterGradLinesWorker<T>>(*this, plan_.items(), cycles, parallel, call, scratch_,
                                        worker_parts_, tensors.workspace);
    const ScopedIeeeDenormals ieee;
    const int64_t whole = plan_.filter_elements / lanes<T>();
    T* const result = static_cast<T*>(tensors.result);
    reduce(call.sums, 0, whole, lanes<T>(), result);
    reduce(call.sums, whole, 1, plan_.filter_elements % lanes<T>(), result);
  }

  std::string describe() const override {
    return "lines of " + std::to_string(plan_.lines.phases[0].elements) + " elements, sums of " +
           std::to_string(plan_.sum_lanes) + " lanes; bands of " +
           std::to_string(plan_.lines.band_rows) + " rows x " +
           std::to_string(plan_.column_blocks) + " blocks of columns; " +
           std::to_string(plan_.items()) + " items: " + std::to_string(plan_.image_parts) +
           " parts of the images x " + std::to_string(plan_.row_parts) + " of rows x " +
           std::to_string(plan_.chunks) + " chunks of channels";
  }

 private:
  // Adds up the parts' sums of so many vectors of the filter, from one on, each of so many lanes.
  void reduce(const Acc* sums, int64_t first, int64_t vectors, int64_t lanes_used,
              T* result) const {
    if (vectors == 0 || lanes_used == 0) return;
    const int64_t lanes = cpu::lanes<T>();
    ReducePartsJob<T> job;
    job.sums = sums + first * 2 * lanes;
    job.parts = plan_.parts();
    job.sum_part_stride = plan_.part_stride;
    job.channel_blocks = vectors;
    job.sum_block_stride = 2 * lanes;
    job.taps = 1;
    job.result = result + first * lanes;
    job.last_block = (vectors - 1) * lanes;
    job.result_tap_stride = 0;
    job.channels = lanes_used;
    kernels<T>().reduce_parts(job);
  }

  const Gathering g_;
  const FilterGradLinesPlan plan_;
  WorkspaceLayout worker_layout_;
  const FilterGradLinesScratch<T> scratch_;
  WorkspaceLayout layout_;
  const Part<Acc> sums_;
  const WorkerParts worker_parts_;
};

}  // namespace

std::string filter_grad_lines_declines(const Problem& problem) {
  std::string none = lines_declines(problem);
  if (!none.empty()) return none;
  const int64_t bytes =
      FilterGradLinesPlan::sum_bytes(gathering_of(problem), accumulator_bytes_of(problem.dtype));
  if (bytes <= kMostLinesSumBytes) return "";
  return "sums of " + std::to_string(bytes) + " bytes are too large for a cache";
}

PlanPointer plan_filter_grad_lines(const Problem& problem, int64_t workers) {
  return with_dtype(problem.dtype, [&](auto t) -> PlanPointer {
    return std::make_unique<FilterGradLines<decltype(t)>>(problem, workers);
  });
}

}  // namespace tf_dwbp::cpu
