// XLA's foreign function interface, as its users have it.
#pragma once

#include <cstdint>

#include "cc/tensorflow/names.h"
#include "cc/xla/first_copy.h"
#include "cc/xla/request.h"
#include "xla/ffi/api/ffi.h"

namespace xla::ffi {

// Defined in TensorFlow's library. The header that declares it, xla/ffi/ffi_api.h, wants MLIR.
const XLA_FFI_Api* GetXlaFfiApi();

}  // namespace xla::ffi

namespace tf_dwbp::xla {

// What the lowering's custom calls hand over: two tensors, their result, a workspace and a request.
// Context is what the platform adds in front.
template <typename Context>
auto binding() {
  namespace ffi = ::xla::ffi;
  return ffi::Ffi::Bind()
      .Ctx<Context>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Ret<ffi::AnyBuffer>()
      .template Ret<ffi::AnyBuffer>()
      .template Attr<ffi::Span<const int64_t>>(kRequest);
}

// Registers a handler for all ops, under their names. Platforms are XLA's: "Host", "CUDA". Returns
// whether it did.
inline bool register_handler(const char* platform, XLA_FFI_Handler* handler) {
  if (!is_first_copy()) return false;
  for (const conv::Op op : {conv::Op::kForward, conv::Op::kInputGrad, conv::Op::kFilterGrad}) {
    ::xla::ffi::Ffi::RegisterStaticHandler(::xla::ffi::GetXlaFfiApi(), name_of(op), platform,
                                           handler);
  }
  return true;
}

}  // namespace tf_dwbp::xla

#define TF_DWBP_REGISTER_HANDLER(PLATFORM, HANDLER) \
  [[maybe_unused]] const bool registered = register_handler(PLATFORM, HANDLER)
