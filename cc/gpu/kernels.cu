// Launches the kernels of one type, TF_DWBP_GPU_TYPE; compiled once for each.

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "cc/gpu/depthwise.h"
#include "cc/gpu/device.h"
#include "cc/gpu/filter_grad.cuh"
#include "cc/gpu/gather.cuh"
#include "cc/gpu/general.cuh"
#include "cc/gpu/plan.h"
#include "cc/gpu/sum.cuh"
#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Error;
using conv::Gathering;
using conv::Geometry;
using conv::Layout;
using conv::Op;

// A table of a kernel's instances for all indices of a list of configurations.
template <typename Arguments, typename Kernels, int... indices>
void (*pick(int index, Kernels, std::integer_sequence<int, indices...>))(Arguments) {
  static constexpr void (*kTable[])(Arguments) = {Kernels::template kernel<indices>...};
  return kTable[index];
}

template <typename T, Layout layout>
struct GatherKernels {
  template <int index>
  static constexpr auto kernel =
      layout == Layout::kNHWC ? gather_nhwc<T, index> : gather_nchw<T, index>;
};

template <typename T, Layout layout>
struct FilterGradKernels {
  template <int index>
  static constexpr auto kernel =
      layout == Layout::kNHWC ? filter_grad_nhwc<T, index> : filter_grad_nchw<T, index>;
};

using GatherIndices = std::make_integer_sequence<int, std::size(kGatherConfigurations)>;
using FilterGradIndices = std::make_integer_sequence<int, std::size(kFilterGradConfigurations)>;

template <typename T>
Error gather(Op op, const Geometry& g, const T* filter, const T* source, T* result, void* stream) {
  const Gathering gathering = op == Op::kForward ? Gathering::forward(g) : Gathering::input_grad(g);
  if (gathering.result_elements() == 0) return "";
  const auto windows = windows_of(op, g);
  const int index = windows ? index_of(windows->configuration, kGatherConfigurations) : -1;
  if (index < 0) {
    const auto arguments = GeneralGatherArguments<T>::of(gathering, source, filter, result);
    return launch(gather_general<T>, arguments, (arguments.items + kThreads - 1) / kThreads,
                  kThreads, 0, stream);
  }
  Device device;
  Error error = read_device(&device);
  if (!error.empty()) return error;
  const GatherPlan plan(g, *windows, device, gathering.channels, sizeof(T));
  const GatherArguments<T> arguments{
      source,     filter,          result,         g.batch,
      g.channels, windows->height, windows->width, gathering.reversed,
      plan};
  const auto kernel =
      g.layout == Layout::kNHWC
          ? pick<GatherArguments<T>>(index, GatherKernels<T, Layout::kNHWC>(), GatherIndices())
          : pick<GatherArguments<T>>(index, GatherKernels<T, Layout::kNCHW>(), GatherIndices());
  return launch(kernel, arguments, plan.blocks, plan.threads, plan.shared_bytes, stream);
}

template <typename T>
Error filter_grad(const Geometry& g, const T* input, const T* out, T* result, void* workspace,
                  void* stream) {
  if (g.filter_elements() == 0) return "";
  auto* const partial = static_cast<AccumulatorOf<T>*>(workspace);
  int64_t parts = 0;
  Error error;
  if (g.input_elements() == 0 || g.output_elements() == 0) {
    // Nothing to sum.
  } else if (const auto windows = windows_of(Op::kFilterGrad, g);
             windows && index_of(windows->configuration, kFilterGradConfigurations) >= 0) {
    const int index = index_of(windows->configuration, kFilterGradConfigurations);
    const FilterGradPlan plan(g, *windows, sizeof(T));
    const FilterGradArguments<T> arguments{
        input, out, partial, g.batch, g.channels, windows->height, windows->width, plan};
    const auto kernel =
        g.layout == Layout::kNHWC
            ? pick<FilterGradArguments<T>>(index, FilterGradKernels<T, Layout::kNHWC>(),
                                           FilterGradIndices())
            : pick<FilterGradArguments<T>>(index, FilterGradKernels<T, Layout::kNCHW>(),
                                           FilterGradIndices());
    parts = plan.parts;
    error = launch(kernel, arguments, plan.parts * plan.channel_blocks, kThreads, plan.shared_bytes,
                   stream);
  } else {
    const GeneralFilterGradPlan plan(g);
    parts = plan.parts;
    error =
        launch(filter_grad_general<T>, GeneralFilterGradArguments<T>{input, out, partial, g, plan},
               plan.channel_blocks * g.height.filter * g.width.filter * plan.parts, kThreads,
               general_filter_grad_shared_bytes<T>(), stream);
  }
  if (!error.empty()) return error;
  const int64_t elements = g.filter_elements();
  return launch(sum_parts<T>, SumPartsArguments<T>{partial, result, elements, parts},
                (elements + 31) / 32, kThreads, sum_parts_shared_bytes<T>(), stream);
}

template <typename Kernels, int... indices>
void append(std::vector<const void*>* all, std::integer_sequence<int, indices...>) {
  (all->push_back(reinterpret_cast<const void*>(Kernels::template kernel<indices>)), ...);
}

}  // namespace

template <typename T>
int64_t workspace_bytes(Op op, const Geometry& g) {
  if (op != Op::kFilterGrad || g.input_elements() == 0 || g.output_elements() == 0) return 0;
  const auto windows = windows_of(op, g);
  const int64_t parts = windows && index_of(windows->configuration, kFilterGradConfigurations) >= 0
                            ? FilterGradPlan(g, *windows, sizeof(T)).parts
                            : GeneralFilterGradPlan(g).parts;
  return parts * g.filter_elements() * static_cast<int64_t>(sizeof(AccumulatorOf<T>));
}

template <typename T>
Error run(Op op, const Geometry& g, const T* a, const T* b, T* result, void* workspace,
          void* stream) {
  switch (op) {
    case Op::kForward:
      return gather<T>(op, g, b, a, result, stream);
    case Op::kInputGrad:
      return gather<T>(op, g, a, b, result, stream);
    case Op::kFilterGrad:
      return filter_grad<T>(g, a, b, result, workspace, stream);
  }
  return "";
}

template <typename T>
std::vector<const void*> kernels() {
  std::vector<const void*> all = {reinterpret_cast<const void*>(gather_general<T>),
                                  reinterpret_cast<const void*>(filter_grad_general<T>),
                                  reinterpret_cast<const void*>(sum_parts<T>)};
  append<GatherKernels<T, Layout::kNHWC>>(&all, GatherIndices());
  append<GatherKernels<T, Layout::kNCHW>>(&all, GatherIndices());
  append<FilterGradKernels<T, Layout::kNHWC>>(&all, FilterGradIndices());
  append<FilterGradKernels<T, Layout::kNCHW>>(&all, FilterGradIndices());
  return all;
}

template std::vector<const void*> kernels<TF_DWBP_GPU_TYPE>();
template int64_t workspace_bytes<TF_DWBP_GPU_TYPE>(Op, const Geometry&);
template Error run<TF_DWBP_GPU_TYPE>(Op, const Geometry&, const TF_DWBP_GPU_TYPE*,
                                     const TF_DWBP_GPU_TYPE*, TF_DWBP_GPU_TYPE*, void*, void*);

}  // namespace tf_dwbp::gpu
