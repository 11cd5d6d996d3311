#include "cc/cpu/depthwise.h"

#include "cc/cpu/filter_grad.h"
#include "cc/cpu/gather.h"

namespace tf_dwbp::cpu {

using conv::Gathering;
using conv::Geometry;
using conv::Op;

template <typename T>
int64_t workspace_bytes(Op op, const Geometry& g, int64_t workers) {
  switch (op) {
    case Op::kForward:
      return gather_workspace_bytes<T>(Gathering::forward(g), workers);
    case Op::kInputGrad:
      return gather_workspace_bytes<T>(Gathering::input_grad(g), workers);
    case Op::kFilterGrad:
      return filter_grad_workspace_bytes<T>(g, workers);
  }
  return 0;  // GCOVR_EXCL_LINE: all ops have been named
}

template <typename T>
void run(Op op, const Geometry& g, int64_t workers, const T* a, const T* b, T* result,
         void* workspace, const Parallel& parallel) {
  switch (op) {
    case Op::kForward:
      return gather<T>(Gathering::forward(g), workers, b, a, result, workspace, parallel);
    case Op::kInputGrad:
      return gather<T>(Gathering::input_grad(g), workers, a, b, result, workspace, parallel);
    case Op::kFilterGrad:
      return filter_grad<T>(g, workers, a, b, result, workspace, parallel);
  }
}

#define TF_DWBP_INSTANTIATE(T)                                       \
  template int64_t workspace_bytes<T>(Op, const Geometry&, int64_t); \
  template void run<T>(Op, const Geometry&, int64_t, const T*, const T*, T*, void*, const Parallel&)
TF_DWBP_INSTANTIATE(Half);
TF_DWBP_INSTANTIATE(Bfloat16);
TF_DWBP_INSTANTIATE(float);
TF_DWBP_INSTANTIATE(double);
#undef TF_DWBP_INSTANTIATE

int64_t workspace_bytes(Type type, Op op, const Geometry& g, int64_t workers) {
  return with_type(type, [&](auto t) { return workspace_bytes<decltype(t)>(op, g, workers); });
}

void run(Type type, Op op, const Geometry& g, int64_t workers, const void* a, const void* b,
         void* result, void* workspace, const Parallel& parallel) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    run<T>(op, g, workers, static_cast<const T*>(a), static_cast<const T*>(b),
           static_cast<T*>(result), workspace, parallel);
  });
}

}  // namespace tf_dwbp::cpu
