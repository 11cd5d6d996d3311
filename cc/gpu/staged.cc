#include "cc/gpu/staged.h"

#include "cc/conv/implementations.h"
#include "cc/gpu/for_device.h"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/tiling.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Error;
using conv::Op;
using conv::Problem;

std::string describe_tile(const StagedTile& tile, int shared_bytes, int64_t blocks) {
  return "staged tiles of " + std::to_string(tile.rows) + " x " + std::to_string(tile.columns) +
         " results and " + std::to_string(tile.results) + " channels, " +
         std::to_string(shared_bytes) + " bytes of shared memory, " + std::to_string(blocks) +
         " blocks";
}

class Gather : public Plan {
 public:
  explicit Gather(const Problem& problem)
      : Plan(problem),
        gathering_(conv::Gathering::of(problem.op, problem.geometry)),
        down_(problem.geometry.height, problem.op == Op::kForward) {}

  Error run(const Tensors& tensors, void* stream) const override {
    const StagedGatherCut* cut = nullptr;
    const Error error = find_cut(&cut);
    if (!error.empty()) return error;
    return kernels(problem.dtype)
        .gather_staged({gathering_, down_, *cut}, {problem, tensors}, stream);
  }

  std::string describe() const override {
    const StagedGatherCut* cut = nullptr;
    const Error error = find_cut(&cut);
    if (!error.empty()) return "staged tiles that are chosen for the GPU that runs them; " + error;
    return describe_tile(cut->tile, cut->shared_bytes, cut->blocks);
  }

 private:
  Error find_cut(const StagedGatherCut** cut) const {
    return cuts_.find(
        problem.dtype, [&](const Device& device) { return cut_staged_gather(problem, device); },
        cut);
  }

  const conv::Gathering gathering_;
  const RunAxis down_;
  mutable ForDevice<StagedGatherCut> cuts_;
};

class FilterGrad : public Plan {
 public:
  explicit FilterGrad(const Problem& problem)
      : Plan(problem),
        call_{problem.geometry, conv::Gather::forward(problem.geometry.height),
              conv::Gather::forward(problem.geometry.width),
              RunAxis(problem.geometry.height, /*forward=*/true), cut_staged_sums(problem)} {
    workspace_bytes = bytes_of_parts(problem.geometry, call_.cut.parts, problem.dtype);
  }

  Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).filter_grad_staged(call_, tensors, stream);
  }

  std::string describe() const override {
    const StagedSumsCut& cut = call_.cut;
    return describe_tile(cut.tile, cut.shared_bytes, cut.blocks()) + " of " +
           std::to_string(cut.tasks) + " tasks by " + std::to_string(cut.splits) + ", " +
           std::to_string(cut.parts) + " parts of " + std::to_string(cut.tiles_of_part) + " tiles";
  }

 private:
  const StagedFilterGrad call_;
};

}  // namespace

std::string staged_declines(const Problem& problem) {
  const std::string why = conv::declines_without_products(problem);
  return why.empty() ? staged_cut_declines(problem) : why;
}

PlanPointer plan_staged(const Problem& problem) {
  if (problem.op == Op::kFilterGrad) return std::make_unique<FilterGrad>(problem);
  return std::make_unique<Gather>(problem);
}

}  // namespace tf_dwbp::gpu
