// What is compiled once for each type (kernels.cu): functions that launch a call's kernels on a
// stream, and wait for nothing. No CUDA in here.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/conv/problem.h"
#include "cc/conv/tensors.h"
#include "cc/gpu/staged_tiling.h"
#include "cc/gpu/strip_tiling.h"
#include "cc/gpu/strip_tiling_nhwc.h"
#include "cc/gpu/tiling.h"

namespace tf_dwbp::gpu {

using conv::Tensors;

// What kernels are told of a call besides its tensors. The filter gradient's source is the input,
// its result out_backprop, whose windows the taps are.

struct TiledGather {
  int64_t batch;
  int64_t channels;
  WindowAxis height;
  WindowAxis width;
  bool reversed;  // taps are counted from the filter's last
  GatherTiling tiling;
};

struct GeneralGather {
  conv::Gathering gathering;
  int64_t filter_columns;
  int64_t phases;  // of a row that have positions
  int64_t runs;    // of a phase in a row
  int64_t items;   // for a thread each
};

struct TiledFilterGrad {
  int64_t batch;
  int64_t channels;
  WindowAxis height;
  WindowAxis width;
  FilterGradTiling tiling;
};

struct GeneralFilterGrad {
  conv::Geometry geometry;
  GeneralParts cut;
};

struct StagedGather {
  conv::Gathering gathering;
  RunAxis down;
  StagedGatherCut cut;
};

struct StagedFilterGrad {
  conv::Geometry geometry;
  conv::Gather height;  // those of the forward op
  conv::Gather width;
  RunAxis down;
  StagedSumsCut cut;
};

struct GatherStrips {
  int64_t batch;
  int64_t channels;
  WindowAxis height;
  WindowAxis width;
  bool reversed;
  StripCut cut;
};

struct GatherStripsNhwc {
  int64_t batch;
  int64_t channels;
  WindowAxis height;
  WindowAxis width;
  bool reversed;
  StripCutNhwc cut;
};

struct FilterGradStrips {
  int64_t batch;
  int64_t channels;
  WindowAxis height;
  WindowAxis width;
  StripCut cut;
};

// Which instance of a kernel: for a configuration, by its index in the list.
struct Instance {
  conv::Layout layout;
  int configuration;
};

// The tensors of the forward op and the input gradient, seen as one.
struct GatherTensors {
  const void* source;
  const void* filter;
  void* result;
  const void* bias;  // nullptr: none
  conv::Epilogue epilogue;

  GatherTensors(const conv::Problem& problem, const Tensors& tensors)
      : source(problem.op == conv::Op::kForward ? tensors.a : tensors.b),
        filter(problem.op == conv::Op::kForward ? tensors.b : tensors.a),
        result(tensors.result),
        bias(problem.epilogue.bias ? tensors.bias : nullptr),
        epilogue(problem.epilogue) {}
};

struct Kernels {
  conv::Error (*zeros)(int64_t elements, void* result, void* stream);
  conv::Error (*gather_tiled)(const Instance& instance, const TiledGather& call,
                              const GatherTensors& tensors, void* stream);
  conv::Error (*gather_general)(const GeneralGather& call, const GatherTensors& tensors,
                                void* stream);
  // Parts' sums go to the workspace, [parts, taps, channels of out_backprop] of the accumulator's
  // type, and are then added up.
  conv::Error (*filter_grad_tiled)(const Instance& instance, const TiledFilterGrad& call,
                                   const Tensors& tensors, void* stream);
  conv::Error (*filter_grad_general)(const GeneralFilterGrad& call, const Tensors& tensors,
                                     void* stream);
  // By strips, of a configuration.
  conv::Error (*gather_strips)(int configuration, const GatherStrips& call,
                               const GatherTensors& tensors, void* stream);
  conv::Error (*gather_strips_nhwc)(int configuration, const GatherStripsNhwc& call,
                                    const GatherTensors& tensors, void* stream);
  conv::Error (*filter_grad_strips)(int configuration, const FilterGradStrips& call,
                                    const Tensors& tensors, void* stream);
  conv::Error (*gather_staged)(const StagedGather& call, const GatherTensors& tensors,
                               void* stream);
  conv::Error (*filter_grad_staged)(const StagedFilterGrad& call, const Tensors& tensors,
                                    void* stream);
  // The current device.
  conv::Error (*current_device)(Device* device);
  // All kernels, for tests: that each was run, and what each takes of a multiprocessor.
  std::vector<const void*> (*all)();
};

// Of each of cc/conv/dtype.h's types.
template <typename T>
const Kernels& kernels_of();
#define TF_DWBP_DECLARE(kind, T, name) \
  template <>                          \
  const Kernels& kernels_of<T>();
TF_DWBP_DTYPES(TF_DWBP_DECLARE)
#undef TF_DWBP_DECLARE

inline const Kernels& kernels(Dtype dtype) {
  return *with_dtype(dtype, [](auto t) { return &kernels_of<decltype(t)>(); });
}

}  // namespace tf_dwbp::gpu
