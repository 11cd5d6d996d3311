#include "cc/gpu/general.h"

#include <algorithm>

#include "cc/conv/gather.h"
#include "cc/conv/implementations.h"
#include "cc/conv/math.h"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;
using conv::Error;
using conv::Gathering;
using conv::Op;
using conv::Problem;

GeneralGather cut(const Problem& problem) {
  const conv::Geometry& g = problem.geometry;
  const Gathering gathering = Gathering::of(problem.op, g);
  const conv::Gather &height = gathering.height, &width = gathering.width;
  const int64_t phases = std::min(width.phase_stride(), width.result());
  const int64_t positions = ceil_div(width.result(), width.phase_stride());
  // NCHW: the threads of a warp take turns in a stretch of runs.
  const int64_t runs_of_stretch = g.layout == conv::Layout::kNHWC ? 1 : kWarp;
  const int64_t runs = ceil_div(positions, kGeneralRun * runs_of_stretch) * runs_of_stretch;
  // Who explains a call may ask of one that fits into no memory.
  return {
      gathering, width.taps(), phases, runs,
      conv::product_or_most({gathering.batch, gathering.channels, height.result(), phases, runs})};
}

class Gather : public Plan {
 public:
  explicit Gather(const Problem& problem) : Plan(problem), call_(cut(problem)) {}

  Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).gather_general(call_, {problem, tensors}, stream);
  }

  std::string describe() const override {
    return std::to_string(call_.items) + " threads of " + std::to_string(kGeneralRun) +
           " positions each";
  }

 private:
  const GeneralGather call_;
};

class FilterGrad : public Plan {
 public:
  explicit FilterGrad(const Problem& problem)
      : Plan(problem), call_{problem.geometry, GeneralParts(problem.geometry, problem.dtype)} {
    workspace_bytes = bytes_of_parts(problem.geometry, call_.cut.parts, problem.dtype);
  }

  Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).filter_grad_general(call_, tensors, stream);
  }

  std::string describe() const override {
    return "tap by tap, " + std::to_string(call_.cut.parts) + " parts of " +
           std::to_string(call_.cut.rows_of_part) + " rows";
  }

 private:
  const GeneralFilterGrad call_;
};

}  // namespace

// An epilogue makes something of sums of nothing, too.
std::string general_declines(const Problem& problem) {
  const bool filled = problem.epilogue.bias && result_elements(problem) > 0;
  return filled ? "" : conv::declines_without_products(problem);
}

PlanPointer plan_general(const Problem& problem) {
  if (problem.op == Op::kFilterGrad) return std::make_unique<FilterGrad>(problem);
  return std::make_unique<Gather>(problem);
}

}  // namespace tf_dwbp::gpu
