// Eager calls: TensorFlow asks, before it executes an op, whether another is to be executed in its
// place. Its Python knows nothing of that, so that gradients, callbacks and errors about arguments
// are stock's.

#include <cstdint>
#include <memory>
#include <string>

#include "cc/swap/rename.h"
#include "cc/swap/state.h"
#include "tensorflow/core/common_runtime/eager/eager_op_rewrite_registry.h"
#include "tensorflow/core/common_runtime/eager/eager_operation.h"

namespace tf_dwbp::swap {
namespace {

using tensorflow::Device;
using tensorflow::EagerOperation;

// Why our op does not take the call; "" if it does.
std::string why_not_here(EagerOperation* op, int index, Ops ops, const std::string& ours) {
  std::string why = why_not(index, ops, op->IsLocal() ? Process::kThis : Process::kAnother);
  if (!why.empty()) return why;
  const tensorflow::DataType dtype = op->Inputs()[index == 1 ? 1 : 0]->DataType();
  const auto& asked = op->GetDeviceParsedName();
  // Where the caller names no device, TensorFlow chooses one, and must choose the same.
  bool found = false;
  for (const Device* device : op->EagerContext().local_device_mgr()->ListDevices()) {
    const std::string& type = device->device_type();
    if (asked.has_type && asked.type != type) continue;
    const tensorflow::DeviceType device_type(type);
    if (!has_kernel(op->Name(), dtype, device_type)) continue;
    if (!has_kernel(ours, dtype, device_type)) {
      return "no kernel of ours for " + type + " and this type";
    }
    found = true;
  }
  return found ? "" : "no device has a kernel for this type";
}

class Rewrite : public tensorflow::EagerOpRewrite {
 public:
  using EagerOpRewrite::EagerOpRewrite;

  absl::Status Run(EagerOperation* op, std::unique_ptr<EagerOperation>* out) override {
    const Ops ops = installs().ops();
    if (ops == 0) return absl::OkStatus();
    const int index = index_of(op->Name());
    if (index < 0) return absl::OkStatus();
    const std::string ours = our_name(op->Name());
    const std::string why = why_not_here(op, index, ops, ours);
    ledger().call(op->Name(), why.empty(), why.empty() ? "called in stock's place" : why);
    if (!why.empty()) return absl::OkStatus();
    auto made = std::make_unique<EagerOperation>(&op->EagerContext());
    TF_RETURN_IF_ERROR(made->Reset(ours.c_str(), op->DeviceName().c_str(), /*remote=*/false,
                                   &op->Executor(), op->eager_func_params()));
    for (tensorflow::ImmediateExecutionTensorHandle* input : op->Inputs()) {
      TF_RETURN_IF_ERROR(made->AddInput(input));
    }
    made->MutableAttrs()->CopyAttributes(op->Attrs());
    made->SetCancellationManager(op->GetCancellationManager());
    if (auto trace = op->GetStackTrace()) made->SetStackTrace(*trace);
    *out = std::move(made);
    return absl::OkStatus();
  }
};

// TensorFlow refuses a number that is taken, by aborting; so a second copy of this library in a
// process must have its own.
int32_t ordinal() {
  return static_cast<int32_t>(reinterpret_cast<uintptr_t>(&installs()) / 16 % 1000000007);
}

const tensorflow::eager_rewrite_registration::EagerRewriteRegistration registered(
    tensorflow::EagerOpRewriteRegistry::PRE_EXECUTION, ordinal(),
    std::make_unique<Rewrite>("tf_dwbp", __FILE__, "0"));

}  // namespace
}  // namespace tf_dwbp::swap
