// What a custom call does on a GPU: has the kernels launched on XLA's stream.

#include <cstdint>
#include <new>

#include "cc/gpu/backend.h"
#include "cc/xla/ffi.h"

namespace tf_dwbp::xla {
namespace {

namespace ffi = ::xla::ffi;

using Gpu = gpu::Backend;

// The stream is a cudaStream_t, a pointer that gpu::run() takes as such.
ffi::Error run(State<Gpu>* state, void* stream, ffi::AnyBuffer a, ffi::AnyBuffer b,
               ffi::RemainingArgs rest, ffi::Result<ffi::AnyBuffer> result,
               ffi::Result<ffi::AnyBuffer> workspace) {
  // Another version of this library may have compiled the program.
  if (state->plan->workspace_bytes > static_cast<int64_t>(workspace->size_bytes())) {
    return ffi::Error::Internal("the workspace is smaller than the kernels of this version need");
  }
  conv::Tensors tensors = tensors_of(a, b, rest, result->untyped_data());
  tensors.workspace = workspace->untyped_data();
  try {
    const conv::Error error = gpu::run(*state->plan, tensors, stream);
    return error.empty() ? ffi::Error::Success() : ffi::Error::Internal(error);
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "there is no memory for the call");
  }
}

XLA_FFI_DEFINE_HANDLER(kInstantiate, instantiate<Gpu>, instantiate_binding<Gpu>());
XLA_FFI_DEFINE_HANDLER(kExecute, run, (execute_binding<Gpu, ffi::PlatformStream<void*>>()));
[[maybe_unused]] const bool registered = register_handler<Gpu>("CUDA", kInstantiate, kExecute);

}  // namespace
}  // namespace tf_dwbp::xla
