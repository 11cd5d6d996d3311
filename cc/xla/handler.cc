// What a custom call does on the CPU.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

#include "cc/cpu/depthwise.h"
#include "cc/cpu/memory.h"
#include "cc/xla/ffi.h"

namespace tf_dwbp::xla {
namespace {

namespace ffi = ::xla::ffi;

// The caller may be a thread of the pool. It works too, and waits for none that has not begun, so
// that a pool whose threads are all busy, or all callers like this one, is no deadlock.
ffi::Error run(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b,
               ffi::Result<ffi::AnyBuffer> result, ffi::Result<ffi::AnyBuffer> workspace,
               ffi::Span<const int64_t> numbers) {
  const Request request = from_attribute(numbers.begin());
  cpu::want_huge_pages(result->untyped_data(), result->size_bytes());
  const cpu::Parallel parallel{
      std::min(std::max<int64_t>(1, pool.num_threads()), request.workers),
      [&pool](std::function<void()> function) { pool.Schedule(std::move(function)); }};
  // Whoever made the call made the workspace as well; to write past it would be worse than to stop.
  if (cpu::workspace_bytes(request.type, request.op, request.geometry, parallel.workers) >
      static_cast<int64_t>(workspace->size_bytes())) {
    return ffi::Error::Internal("the workspace is too small for its threads");
  }
  cpu::run(request.type, request.op, request.geometry, a.untyped_data(), b.untyped_data(),
           result->untyped_data(), workspace->untyped_data(), parallel);
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER(kHandler, run, binding<ffi::ThreadPool>());
TF_DWBP_REGISTER_HANDLER("Host", kHandler);

}  // namespace
}  // namespace tf_dwbp::xla
