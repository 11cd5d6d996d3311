// XLA's foreign function interface, as its users have it.
#pragma once

#include <cstdint>

#include "cc/tensorflow/names.h"
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

}  // namespace tf_dwbp::xla

// A handler for all ops, under their names. Platforms are XLA's: "Host", "CUDA".
#define TF_DWBP_REGISTER_HANDLER(PLATFORM, HANDLER)                                              \
  XLA_FFI_REGISTER_HANDLER(::xla::ffi::GetXlaFfiApi(), name_of(conv::Op::kForward), PLATFORM,    \
                           HANDLER);                                                             \
  XLA_FFI_REGISTER_HANDLER(::xla::ffi::GetXlaFfiApi(), name_of(conv::Op::kInputGrad), PLATFORM,  \
                           HANDLER);                                                             \
  XLA_FFI_REGISTER_HANDLER(::xla::ffi::GetXlaFfiApi(), name_of(conv::Op::kFilterGrad), PLATFORM, \
                           HANDLER)
