// XLA's foreign function interface, as its users have it.
#pragma once

#include "xla/ffi/api/ffi.h"

namespace xla::ffi {

// Defined in TensorFlow's library. The header that declares it, xla/ffi/ffi_api.h, wants MLIR.
const XLA_FFI_Api* GetXlaFfiApi();

}  // namespace xla::ffi

// A handler for all ops, under their names. Platforms are XLA's: "Host", "CUDA".
#define TF_DWBP_REGISTER_HANDLER(PLATFORM, HANDLER)                                              \
  XLA_FFI_REGISTER_HANDLER(::xla::ffi::GetXlaFfiApi(), name_of(conv::Op::kForward), PLATFORM,    \
                           HANDLER);                                                             \
  XLA_FFI_REGISTER_HANDLER(::xla::ffi::GetXlaFfiApi(), name_of(conv::Op::kInputGrad), PLATFORM,  \
                           HANDLER);                                                             \
  XLA_FFI_REGISTER_HANDLER(::xla::ffi::GetXlaFfiApi(), name_of(conv::Op::kFilterGrad), PLATFORM, \
                           HANDLER)
