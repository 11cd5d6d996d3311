#include "cc/gpu/depthwise.h"

namespace tf_dwbp::gpu {

int64_t workspace_bytes(Dtype dtype, conv::Op op, const conv::Geometry& g) {
  return with_dtype(dtype, [&](auto t) { return workspace_bytes<decltype(t)>(op, g); });
}

conv::Error run(Dtype dtype, conv::Op op, const conv::Geometry& g, const void* a, const void* b,
                void* result, void* workspace, void* stream) {
  return with_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    return run<T>(op, g, static_cast<const T*>(a), static_cast<const T*>(b),
                  static_cast<T*>(result), workspace, stream);
  });
}

}  // namespace tf_dwbp::gpu
