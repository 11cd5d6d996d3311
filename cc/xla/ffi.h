// XLA's foreign function interface, as its users have it; and a handler's state: the plan, made
// once for each custom call of a program.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "cc/conv/problem.h"
#include "cc/conv/tensors.h"
#include "cc/tensorflow/names.h"
#include "cc/xla/first_copy.h"
#include "cc/xla/request.h"
#include "xla/ffi/api/ffi.h"

namespace xla::ffi {

// Defined in TensorFlow's library. The header that declares it, xla/ffi/ffi_api.h, wants MLIR.
const XLA_FFI_Api* GetXlaFfiApi();

}  // namespace xla::ffi

namespace tf_dwbp::xla {

// Backend is a device's, such as cpu::Backend.
template <typename Backend>
struct State {
  inline static ::xla::ffi::TypeId id = {};
  std::unique_ptr<typename Backend::Plan> plan;
};

template <typename Backend>
::xla::ffi::ErrorOr<std::unique_ptr<State<Backend>>> instantiate(std::string_view text,
                                                                 int64_t workers) {
  using ::xla::ffi::Error;
  using ::xla::ffi::Unexpected;
  conv::Problem problem;
  auto state = std::make_unique<State<Backend>>();
  try {
    conv::Error error = conv::read_problem(std::string(text), &problem);
    if (error.empty()) error = Backend::make_plan(problem, workers, &state->plan);
    if (!error.empty()) return Unexpected(Error::InvalidArgument(error));
  } catch (const std::bad_alloc&) {
    return Unexpected(Error(::xla::ffi::ErrorCode::kResourceExhausted, "there is no memory"));
  }
  return state;
}

template <typename Backend>
auto instantiate_binding() {
  return ::xla::ffi::Ffi::BindInstantiate().Attr<std::string_view>(kProblem).template Attr<int64_t>(
      kWorkers);
}

// What the lowering's custom calls hand over: two tensors, a bias if the epilogue has one, the
// result and a workspace. Context is what the platform adds in front.
template <typename Backend, typename Context>
auto execute_binding() {
  namespace ffi = ::xla::ffi;
  return ffi::Ffi::Bind()
      .Ctx<ffi::State<State<Backend>>>()
      .template Ctx<Context>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .RemainingArgs()
      .template Ret<ffi::AnyBuffer>()
      .template Ret<ffi::AnyBuffer>();
}

// The tensors of a call, but for the workspace.
inline conv::Tensors tensors_of(const ::xla::ffi::AnyBuffer& a, const ::xla::ffi::AnyBuffer& b,
                                const ::xla::ffi::RemainingArgs& rest, void* result) {
  conv::Tensors tensors{a.untyped_data(), b.untyped_data(), result, nullptr};
  if (rest.size() > 0) tensors.bias = rest.get<::xla::ffi::AnyBuffer>(0)->untyped_data();
  return tensors;
}

// Registers a handler for all ops, under their names. Platforms are XLA's: "Host", "CUDA". Returns
// whether it did.
template <typename Backend>
bool register_handler(const char* platform, XLA_FFI_Handler* instantiate,
                      XLA_FFI_Handler* execute) {
  if (!is_first_copy()) return false;
  namespace ffi = ::xla::ffi;
  const XLA_FFI_Api* const api = ffi::GetXlaFfiApi();
  static const XLA_FFI_TypeInfo kType = ffi::MakeTypeInfo<State<Backend>>();
  const std::string type = std::string("tf_dwbp plan on ") + platform;
  ffi::Ffi::RegisterTypeId(api, type, &State<Backend>::id, &kType);
  const XLA_FFI_Handler_Bundle bundle{instantiate, nullptr, nullptr, execute};
  for (const conv::Op op : kOps) {
    ffi::Ffi::RegisterStaticHandler(api, op_name(op), platform, bundle);
  }
  ffi::Ffi::RegisterStaticHandler(api, kFusedName, platform, bundle);
  return true;
}

}  // namespace tf_dwbp::xla
