#include "cc/swap/state.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace tf_dwbp::swap {

void Installs::install(Ops ops) {
  std::lock_guard<std::mutex> lock(mutex_);
  installed_.push_back(ops);
  update();
}

bool Installs::uninstall() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (installed_.empty()) return false;
  installed_.pop_back();
  update();
  return true;
}

void Installs::enter(Ops ops) {
  std::lock_guard<std::mutex> lock(mutex_);
  entered_.push_back(ops);
  update();
}

void Installs::leave(Ops ops) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find(entered_.begin(), entered_.end(), ops);
  if (found != entered_.end()) entered_.erase(found);
  update();
}

void Installs::update() {
  Ops all = 0;
  for (const std::vector<Ops>* asked : {&installed_, &entered_}) {
    for (const Ops ops : *asked) all |= ops;
  }
  ops_ = all;
}

// Never destroyed: TensorFlow's threads may outlive static objects.
Installs& installs() {
  static Installs* const installs = new Installs;
  return *installs;
}

Ledger& ledger() {
  static Ledger* const ledger = new Ledger;
  return *ledger;
}

std::atomic<bool>& is_recording() {
  static std::atomic<bool> is_recording{false};
  return is_recording;
}

}  // namespace tf_dwbp::swap

// The functions that tf_dwbp.swap calls. Bit 0 of `ops` is the forward op, bit 1 the input
// gradient, bit 2 the filter gradient. Bit 3 is kept for Python, which fuses BatchNormalization.
#define TF_DWBP_C extern "C" TF_DWBP_EXPORT

// Starts to record what runs. Returns what the first call was given.
TF_DWBP_C long tf_dwbp_swap_record(long uid) {
  static const long first = uid;
  tf_dwbp::swap::is_recording() = true;
  return first;
}

TF_DWBP_C void tf_dwbp_swap_install(unsigned ops) { tf_dwbp::swap::installs().install(ops); }
TF_DWBP_C int tf_dwbp_swap_uninstall() { return tf_dwbp::swap::installs().uninstall(); }
TF_DWBP_C void tf_dwbp_swap_enter(unsigned ops) { tf_dwbp::swap::installs().enter(ops); }
TF_DWBP_C void tf_dwbp_swap_leave(unsigned ops) { tf_dwbp::swap::installs().leave(ops); }
TF_DWBP_C unsigned tf_dwbp_swap_ops() { return tf_dwbp::swap::installs().ops(); }

// Ledger::text(), to be freed by the next function.
TF_DWBP_C char* tf_dwbp_swap_ledger() { return strdup(tf_dwbp::swap::ledger().text().c_str()); }
TF_DWBP_C void tf_dwbp_swap_free(char* text) { std::free(text); }
