#include "cc/gpu/strips.h"

#include "cc/conv/implementations.h"
#include "cc/gpu/for_device.h"
#include "cc/gpu/kernels/kernels.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Error;
using conv::Geometry;
using conv::Op;
using conv::Problem;

std::string describe_cut(const StripCut& cut) {
  return "strips of " + std::to_string(cut.rows) + " rows, " + std::to_string(cut.planes) +
         " planes and " + std::to_string(cut.images) + " images a block, " +
         std::to_string(cut.shared_bytes) + " bytes of shared memory, " +
         std::to_string(cut.blocks()) + " blocks of " + std::to_string(cut.threads) + " threads";
}
std::string describe_cut(const StripCutNhwc& cut) {
  return "strips of " + std::to_string(cut.rows) + " rows, " + std::to_string(cut.groups) +
         " groups of columns and " + std::to_string(cut.images) + " images a block, " +
         std::to_string(cut.shared_bytes) + " bytes of shared memory, " +
         std::to_string(cut.blocks()) + " blocks of " + std::to_string(cut.groups * kWarp) +
         " threads";
}

void cut_for(const Geometry& g, const Windows& w, const Device& device, Dtype dtype,
             StripCut* cut) {
  *cut = cut_gather(g, w, device, dtype);
}
void cut_for(const Geometry& g, const Windows& w, const Device& device, Dtype dtype,
             StripCutNhwc* cut) {
  *cut = cut_gather_nhwc(g, w, device, dtype);
}

Error launch(const Problem& problem, const Windows& w, const StripCut& cut,
             const GatherTensors& tensors, void* stream) {
  const Geometry& g = problem.geometry;
  const GatherStrips call{g.batch, g.channels, w.height, w.width, problem.op == Op::kForward, cut};
  return kernels(problem.dtype)
      .gather_strips(index_for(problem.op, w.configuration), call, tensors, stream);
}
Error launch(const Problem& problem, const Windows& w, const StripCutNhwc& cut,
             const GatherTensors& tensors, void* stream) {
  const Geometry& g = problem.geometry;
  const GatherStripsNhwc call{g.batch, g.channels, w.height, w.width, problem.op == Op::kForward,
                              cut};
  return kernels(problem.dtype)
      .gather_strips_nhwc(index_for(problem.op, w.configuration), call, tensors, stream);
}

// Forward and input gradient, of one layout.
template <typename Cut>
class Gather : public Plan {
 public:
  explicit Gather(const Problem& problem) : Plan(problem), windows_(windows_of(problem)) {}

  Error run(const Tensors& tensors, void* stream) const override {
    const Cut* cut = nullptr;
    const Error error = find_cut(&cut);
    if (!error.empty()) return error;
    return launch(problem, windows_, *cut, {problem, tensors}, stream);
  }

  std::string describe() const override {
    const Cut* cut = nullptr;
    const Error error = find_cut(&cut);
    if (!error.empty()) return "strips that are chosen for the GPU that runs them; " + error;
    return describe_cut(*cut);
  }

 private:
  Error find_cut(const Cut** cut) const {
    return cuts_.find(
        problem.dtype,
        [&](const Device& device) {
          Cut made;
          cut_for(problem.geometry, windows_, device, problem.dtype, &made);
          return made;
        },
        cut);
  }

  const Windows windows_;
  mutable ForDevice<Cut> cuts_;
};

class FilterGrad : public Plan {
 public:
  FilterGrad(const Problem& problem, const Windows& windows)
      : Plan(problem),
        configuration_(index_for(problem.op, windows.configuration)),
        call_{problem.geometry.batch, problem.geometry.channels, windows.height, windows.width,
              cut_filter_grad(problem.geometry, windows, problem.dtype)} {
    workspace_bytes =
        bytes_of_parts(problem.geometry, call_.cut.bands * call_.cut.slices, problem.dtype);
  }

  Error run(const Tensors& tensors, void* stream) const override {
    return kernels(problem.dtype).filter_grad_strips(configuration_, call_, tensors, stream);
  }

  std::string describe() const override {
    return describe_cut(call_.cut) + ", " + std::to_string(call_.cut.bands * call_.cut.slices) +
           " parts";
  }

 private:
  const int configuration_;
  const FilterGradStrips call_;
};

}  // namespace

std::string strips_decline(const Problem& problem) {
  std::string why = conv::declines_without_products(problem);
  if (!why.empty()) return why;
  const bool nhwc = problem.geometry.layout == conv::Layout::kNHWC;
  if (nhwc && problem.op == Op::kFilterGrad) return "it has strips in NCHW alone";
  const bool finished =
      problem.epilogue.bias || problem.epilogue.activation != conv::Activation::kLinear;
  if (finished) return "its sums have an epilogue";
  Windows windows;
  why = find_windows(problem, &windows);
  if (!why.empty()) return why;
  if (index_for(problem.op, windows.configuration) < 0) return "no kernel is compiled for it";
  if (nhwc) return strips_decline_nhwc(problem.geometry, windows, problem.dtype);
  return strips_decline(problem.geometry, windows, problem.dtype, problem.op == Op::kFilterGrad);
}

PlanPointer plan_strips(const Problem& problem) {
  if (problem.op == Op::kFilterGrad) {
    return std::make_unique<FilterGrad>(problem, windows_of(problem));
  }
  if (problem.geometry.layout == conv::Layout::kNHWC) {
    return std::make_unique<Gather<StripCutNhwc>>(problem);
  }
  return std::make_unique<Gather<StripCut>>(problem);
}

}  // namespace tf_dwbp::gpu
