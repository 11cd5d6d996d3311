#include "cc/cpu/packed.h"

#include "cc/cpu/cost.h"
#include "cc/cpu/packed_epilogue.h"
#include "cc/cpu/packed_worker.h"
#include "cc/cpu/run_items.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gathering;
using conv::Problem;

template <typename T>
class Packed : public Plan {
  using Acc = AccumulatorOf<T>;

 public:
  Packed(const Problem& problem, int64_t workers)
      : Plan(problem, workers),
        g_(gathering_of(problem)),
        blocks_(g_, lanes<T>()),
        filter_(g_, blocks_),
        plan_(g_, blocks_, sizeof(Acc), workers),
        scratch_(plan_, &worker_layout_),
        packed_filter_(layout_.add<Acc>(filter_.elements)),
        epilogue_(problem.epilogue, blocks_, &layout_),
        worker_parts_(worker_layout_, workers, &layout_) {
    workspace_bytes = layout_.bytes();
  }

  void run(const Tensors& tensors, const Parallel& parallel) const override {
    const bool forward = problem.op == conv::Op::kForward;
    Acc* const packed = packed_filter_.in(tensors.workspace);
    EpilogueJob<Acc> epilogue;
    {
      const ScopedIeeeDenormals ieee;
      const void* filter = forward ? tensors.b : tensors.a;
      pack_filter(g_, blocks_, filter_, static_cast<const T*>(filter), packed);
      epilogue = epilogue_.pack(g_, blocks_, tensors.bias, tensors.workspace);
    }
    count(plan_.row_wise ? Path::kPackedRowWise : Path::kPacked);
    if (blocks_.images > 1) count(Path::kPackedShared);
    const PackedCall<T> call{
        g_,
        plan_,
        blocks_,
        filter_,
        static_cast<const T*>(forward ? tensors.a : tensors.b),
        static_cast<T*>(tensors.result),
        packed,
        epilogue_.empty() ? nullptr : &epilogue,
        TensorStrides(g_.layout, g_.source_channels(), g_.height.source(), g_.width.source()),
        TensorStrides(g_.layout, g_.channels, g_.height.result(), g_.width.result())};
    run_items<PackedWorker<T>>(*this, plan_.items(), cycles_of(problem, g_, blocks_), parallel,
                               call, scratch_, worker_parts_, tensors.workspace);
  }

  std::string describe() const override {
    return "packed tiles of " + std::to_string(plan_.slots) + " rows x " +
           std::to_string(plan_.packed_row_stride / blocks_.lanes) + " columns x " +
           std::to_string(blocks_.lanes) + " channels" +
           (plan_.row_wise ? ", taken row by row" : "") +
           (blocks_.images > 1 ? ", shared by " + std::to_string(blocks_.images) + " images" : "") +
           (plan_.buffered ? ", over a write buffer" : "") + "; bands of " +
           std::to_string(plan_.band_rows) + " rows; " + std::to_string(plan_.items()) +
           " items: " + std::to_string(plan_.image_blocks) + " blocks of images x " +
           std::to_string(plan_.row_blocks) + " of rows x " +
           std::to_string(plan_.column_blocks.size()) + " of columns x " +
           std::to_string(plan_.chunks) + " of channels";
  }

 private:
  const Gathering g_;
  const ChannelBlocks blocks_;
  const PackedFilter filter_;
  const PackedPlan plan_;
  WorkspaceLayout worker_layout_;
  const PackedScratch<T> scratch_;
  WorkspaceLayout layout_;
  const Part<Acc> packed_filter_;
  const PackedEpilogue<T> epilogue_;
  const WorkerParts worker_parts_;
};

}  // namespace

// It takes every problem that has products.
std::string packed_declines(const Problem& problem) { return declines_without_products(problem); }

PlanPointer plan_packed(const Problem& problem, int64_t workers) {
  return with_dtype(problem.dtype, [&](auto t) -> PlanPointer {
    return std::make_unique<Packed<decltype(t)>>(problem, workers);
  });
}

}  // namespace tf_dwbp::cpu
