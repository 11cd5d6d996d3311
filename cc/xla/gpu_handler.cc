// What a custom call does on a GPU: has the kernels launched on XLA's stream.

#include <cstdint>

#include "cc/gpu/depthwise.h"
#include "cc/xla/ffi.h"

namespace tf_dwbp::xla {
namespace {

namespace ffi = ::xla::ffi;

ffi::Error run(void* stream, ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> result,
               ffi::Result<ffi::AnyBuffer> workspace, ffi::Span<const int64_t> numbers) {
  const Request request = from_attribute(numbers.begin());
  const conv::Error error =
      gpu::run(request.type, request.op, request.geometry, a.untyped_data(), b.untyped_data(),
               result->untyped_data(), workspace->untyped_data(), stream);
  return error.empty() ? ffi::Error::Success() : ffi::Error::Internal(error);
}

// The stream is a cudaStream_t, a pointer that gpu::run() takes as such.
XLA_FFI_DEFINE_HANDLER(kHandler, run, binding<ffi::PlatformStream<void*>>());
TF_DWBP_REGISTER_HANDLER("CUDA", kHandler);

}  // namespace
}  // namespace tf_dwbp::xla
