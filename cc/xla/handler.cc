// What a custom call does on the CPU.

#include <cstdint>
#include <functional>
#include <new>
#include <utility>

#include "cc/cpu/backend.h"
#include "cc/xla/ffi.h"

namespace tf_dwbp::xla {
namespace {

namespace ffi = ::xla::ffi;

using Cpu = cpu::Backend;

// The caller may be a thread of the pool. It works too, and waits for none that has not begun, so
// that a pool whose threads are all busy, or all callers like this one, is no deadlock.
ffi::Error run(State<Cpu>* state, ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b,
               ffi::RemainingArgs rest, ffi::Result<ffi::AnyBuffer> result,
               ffi::Result<ffi::AnyBuffer> workspace) {
  cpu::want_huge_pages(result->untyped_data(), result->size_bytes());
  const cpu::Parallel parallel{pool.num_threads(), [&pool](std::function<void()> function) {
                                 pool.Schedule(std::move(function));
                               }};
  // Another process may have compiled the program; to write past the workspace would be worse than
  // to stop.
  if (state->plan->workspace_bytes > static_cast<int64_t>(workspace->size_bytes())) {
    return ffi::Error::Internal("the workspace is smaller than the kernels of this machine need");
  }
  conv::Tensors tensors = tensors_of(a, b, rest, result->untyped_data());
  tensors.workspace = workspace->untyped_data();
  try {
    cpu::run(*state->plan, tensors, parallel);
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "there is no memory for the call");
  }
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER(kInstantiate, instantiate<Cpu>, instantiate_binding<Cpu>());
XLA_FFI_DEFINE_HANDLER(kExecute, run, (execute_binding<Cpu, ffi::ThreadPool>()));
[[maybe_unused]] const bool registered = register_handler<Cpu>("Host", kInstantiate, kExecute);

}  // namespace
}  // namespace tf_dwbp::xla
