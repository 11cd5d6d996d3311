// Launches the kernels of one type, TF_DWBP_TYPE; compiled once for each of cc/conv/dtype.h.

#include <iterator>
#include <utility>
#include <vector>

#include "cc/conv/math.h"
#include "cc/gpu/device.h"
#include "cc/gpu/kernels/filter_grad_nchw.cuh"
#include "cc/gpu/kernels/filter_grad_nhwc.cuh"
#include "cc/gpu/kernels/filter_grad_staged.cuh"
#include "cc/gpu/kernels/filter_grad_strips.cuh"
#include "cc/gpu/kernels/gather_nchw.cuh"
#include "cc/gpu/kernels/gather_nhwc.cuh"
#include "cc/gpu/kernels/gather_staged.cuh"
#include "cc/gpu/kernels/gather_strips.cuh"
#include "cc/gpu/kernels/gather_strips_nhwc.cuh"
#include "cc/gpu/kernels/general.cuh"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/kernels/sum.cuh"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;
using conv::Error;
using conv::Layout;

using T = TF_DWBP_TYPE;
using Sum = AccumulatorOf<T>;

// A table of a kernel's instances for all indices of a list of configurations.
template <typename Arguments, typename Kernels, int... indices>
auto pick(int index, std::integer_sequence<int, indices...>) {
  static constexpr void (*kTable[])(Arguments) = {Kernels::template kernel<indices>...};
  return kTable[index];
}

template <Layout layout>
struct GatherKernels {
  template <int index>
  static constexpr auto kernel =
      layout == Layout::kNHWC ? gather_nhwc<T, index> : gather_nchw<T, index>;
};

template <Layout layout>
struct FilterGradKernels {
  template <int index>
  static constexpr auto kernel =
      layout == Layout::kNHWC ? filter_grad_nhwc<T, index> : filter_grad_nchw<T, index>;
};

struct GatherStripKernels {
  template <int index>
  static constexpr auto kernel = gather_strips<T, index>;
};
struct GatherStripNhwcKernels {
  using Kernel = void (*)(GatherStripsNhwcArguments<T>);
  // nullptr: strips are no faster there.
  template <int index>
  static constexpr Kernel find() {
    if constexpr (has_strips_nhwc(kGatherConfigurations[index]))
      return gather_strips_nhwc<T, index>;
    return nullptr;
  }
  template <int index>
  static constexpr Kernel kernel = find<index>();
};
struct FilterGradStripKernels {
  template <int index>
  static constexpr auto kernel = filter_grad_strips<T, index>;
};

using GatherIndices = std::make_integer_sequence<int, std::size(kGatherConfigurations)>;
using FilterGradIndices = std::make_integer_sequence<int, std::size(kFilterGradConfigurations)>;

Error launch_zeros(int64_t elements, void* result, void* stream) {
  return elements == 0 ? "" : set_zero(result, elements * int64_t{sizeof(T)}, stream);
}

Epilogue<T> epilogue_of(const GatherTensors& tensors) {
  return {static_cast<const T*>(tensors.bias), tensors.epilogue.activation, tensors.epilogue.alpha};
}

Error launch_gather_tiled(const Instance& instance, const TiledGather& call,
                          const GatherTensors& tensors, void* stream) {
  using Arguments = GatherArguments<T>;
  const Arguments arguments{call, static_cast<const T*>(tensors.source),
                            static_cast<const T*>(tensors.filter), static_cast<T*>(tensors.result),
                            epilogue_of(tensors)};
  const auto kernel =
      instance.layout == Layout::kNHWC
          ? pick<Arguments, GatherKernels<Layout::kNHWC>>(instance.configuration, GatherIndices())
          : pick<Arguments, GatherKernels<Layout::kNCHW>>(instance.configuration, GatherIndices());
  const GatherTiling& tiling = call.tiling;
  return launch(kernel, arguments, tiling.blocks, tiling.threads, tiling.shared_bytes, stream);
}

Error launch_gather_general(const GeneralGather& call, const GatherTensors& tensors, void* stream) {
  const GeneralGatherArguments<T> arguments{call, static_cast<const T*>(tensors.source),
                                            static_cast<const T*>(tensors.filter),
                                            static_cast<T*>(tensors.result), epilogue_of(tensors)};
  return launch(gather_general<T>, arguments, ceil_div(call.items, kThreads), kThreads,
                /*shared_bytes=*/0, stream);
}

// Launches a kernel that leaves the sums of parts in the workspace, and one that adds them up.
template <typename Arguments, typename Call>
Error sum_by_parts(void (*kernel)(Arguments), const Call& call, int64_t blocks, int threads,
                   int shared_bytes, int64_t elements, int64_t parts, const Tensors& tensors,
                   void* stream) {
  auto* const partial = static_cast<Sum*>(tensors.workspace);
  const Arguments arguments{call, static_cast<const T*>(tensors.a),
                            static_cast<const T*>(tensors.b), partial};
  const Error error = launch(kernel, arguments, blocks, threads, shared_bytes, stream);
  if (!error.empty()) return error;
  return launch(sum_parts<T>,
                SumPartsArguments<T>{partial, static_cast<T*>(tensors.result), elements, parts},
                ceil_div(elements, kSumElements), kThreads, sum_parts_shared_bytes<T>(), stream);
}

Error launch_filter_grad_tiled(const Instance& instance, const TiledFilterGrad& call,
                               const Tensors& tensors, void* stream) {
  using Arguments = FilterGradArguments<T>;
  const int index = instance.configuration;
  const auto kernel =
      instance.layout == Layout::kNHWC
          ? pick<Arguments, FilterGradKernels<Layout::kNHWC>>(index, FilterGradIndices())
          : pick<Arguments, FilterGradKernels<Layout::kNCHW>>(index, FilterGradIndices());
  const FilterGradTiling& tiling = call.tiling;
  const int64_t taps = kFilterGradConfigurations[index].taps;
  return sum_by_parts(kernel, call, tiling.parts * tiling.channel_blocks, kThreads,
                      tiling.shared_bytes, taps * taps * call.channels, tiling.parts, tensors,
                      stream);
}

Error launch_filter_grad_general(const GeneralFilterGrad& call, const Tensors& tensors,
                                 void* stream) {
  const conv::Geometry& g = call.geometry;
  const GeneralParts& cut = call.cut;
  return sum_by_parts(filter_grad_general<T>, call,
                      cut.channel_blocks * g.height.filter * g.width.filter * cut.parts, kThreads,
                      general_filter_grad_shared_bytes<T>(), g.filter_elements(), cut.parts,
                      tensors, stream);
}

Error launch_gather_strips(int configuration, const GatherStrips& call,
                           const GatherTensors& tensors, void* stream) {
  using Arguments = GatherStripsArguments<T>;
  const Arguments arguments{call, static_cast<const T*>(tensors.source),
                            static_cast<const T*>(tensors.filter), static_cast<T*>(tensors.result)};
  const auto kernel = pick<Arguments, GatherStripKernels>(configuration, GatherIndices());
  const StripCut& cut = call.cut;
  return launch(kernel, arguments, cut.blocks(), cut.threads, cut.shared_bytes, stream);
}

Error launch_gather_strips_nhwc(int configuration, const GatherStripsNhwc& call,
                                const GatherTensors& tensors, void* stream) {
  using Arguments = GatherStripsNhwcArguments<T>;
  const Arguments arguments{call, static_cast<const T*>(tensors.source),
                            static_cast<const T*>(tensors.filter), static_cast<T*>(tensors.result)};
  const auto kernel = pick<Arguments, GatherStripNhwcKernels>(configuration, GatherIndices());
  const StripCutNhwc& cut = call.cut;
  return launch(kernel, arguments, cut.blocks(), cut.groups * kWarp, cut.shared_bytes, stream);
}

Error launch_filter_grad_strips(int configuration, const FilterGradStrips& call,
                                const Tensors& tensors, void* stream) {
  using Arguments = FilterGradStripsArguments<T>;
  const auto kernel = pick<Arguments, FilterGradStripKernels>(configuration, FilterGradIndices());
  const StripCut& cut = call.cut;
  const int64_t taps = kFilterGradConfigurations[configuration].taps;
  return sum_by_parts(kernel, call, cut.blocks(), cut.threads, cut.shared_bytes,
                      taps * taps * call.channels, cut.bands * cut.slices, tensors, stream);
}

Error launch_gather_staged(const StagedGather& call, const GatherTensors& tensors, void* stream) {
  const StagedGatherArguments<T> arguments{call, static_cast<const T*>(tensors.source),
                                           static_cast<const T*>(tensors.filter),
                                           static_cast<T*>(tensors.result), epilogue_of(tensors)};
  const auto kernel = call.gathering.layout == Layout::kNHWC ? gather_staged<T, Layout::kNHWC>
                                                             : gather_staged<T, Layout::kNCHW>;
  return launch(kernel, arguments, call.cut.blocks, kThreads, call.cut.shared_bytes, stream);
}

Error launch_filter_grad_staged(const StagedFilterGrad& call, const Tensors& tensors,
                                void* stream) {
  const StagedSumsCut& cut = call.cut;
  const auto kernel = call.geometry.layout == Layout::kNHWC ? filter_grad_staged<T, Layout::kNHWC>
                                                            : filter_grad_staged<T, Layout::kNCHW>;
  return sum_by_parts(kernel, call, cut.blocks(), kThreads, cut.shared_bytes,
                      call.geometry.filter_elements(), cut.parts, tensors, stream);
}

template <typename Kernels, int... indices>
void append(std::vector<const void*>* all, std::integer_sequence<int, indices...>) {
  for (const void* kernel : {reinterpret_cast<const void*>(Kernels::template kernel<indices>)...}) {
    if (kernel != nullptr) all->push_back(kernel);
  }
}

std::vector<const void*> all_kernels() {
  std::vector<const void*> all = {
      reinterpret_cast<const void*>(gather_general<T>),
      reinterpret_cast<const void*>(filter_grad_general<T>),
      reinterpret_cast<const void*>(gather_staged<T, Layout::kNHWC>),
      reinterpret_cast<const void*>(gather_staged<T, Layout::kNCHW>),
      reinterpret_cast<const void*>(filter_grad_staged<T, Layout::kNHWC>),
      reinterpret_cast<const void*>(filter_grad_staged<T, Layout::kNCHW>),
      reinterpret_cast<const void*>(sum_parts<T>)};
  append<GatherKernels<Layout::kNHWC>>(&all, GatherIndices());
  append<GatherKernels<Layout::kNCHW>>(&all, GatherIndices());
  append<FilterGradKernels<Layout::kNHWC>>(&all, FilterGradIndices());
  append<FilterGradKernels<Layout::kNCHW>>(&all, FilterGradIndices());
  append<GatherStripKernels>(&all, GatherIndices());
  append<GatherStripNhwcKernels>(&all, GatherIndices());
  append<FilterGradStripKernels>(&all, FilterGradIndices());
  return all;
}

// A type of this file's that is none of cc/conv/dtype.h does not compile here; one that is missing
// in cc/sources.bzl does not link.
[[maybe_unused]] constexpr Dtype kDtype = dtype_of(T());

}  // namespace

template <>
const Kernels& kernels_of<T>() {
  static constexpr Kernels kKernels = {launch_zeros,
                                       launch_gather_tiled,
                                       launch_gather_general,
                                       launch_filter_grad_tiled,
                                       launch_filter_grad_general,
                                       launch_gather_strips,
                                       launch_gather_strips_nhwc,
                                       launch_filter_grad_strips,
                                       launch_gather_staged,
                                       launch_filter_grad_staged,
                                       current_device,
                                       all_kernels};
  return kKernels;
}

}  // namespace tf_dwbp::gpu
