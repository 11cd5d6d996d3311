// The swap of this process: which ops are asked for, and the ledger.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "cc/conv/export.h"
#include "cc/swap/ledger.h"
#include "cc/swap/rename.h"

namespace tf_dwbp::swap {

// Who asks for ops. Here and not in Python, whose modules may be imported twice in a process.
// Thread-safe.
class Installs {
 public:
  void install(Ops ops);
  bool uninstall();  // takes back the latest install(); false when there is none
  void enter(Ops ops);
  void leave(Ops ops);  // takes back an enter() with the same ops

  // All that is asked for.
  Ops ops() const { return ops_.load(std::memory_order_relaxed); }

 private:
  void update();

  std::mutex mutex_;
  std::vector<Ops> installed_;
  std::vector<Ops> entered_;
  std::atomic<Ops> ops_{0};
};

TF_DWBP_EXPORT Installs& installs();
TF_DWBP_EXPORT Ledger& ledger();

// Whether what runs is recorded: from the first install() or report() on.
std::atomic<bool>& is_recording();

}  // namespace tf_dwbp::swap
