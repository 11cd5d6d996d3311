// What became of the depthwise ops of all graphs that TensorFlow has optimized in this process.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cc/swap/rename.h"

namespace tf_dwbp::swap {

// Thread-safe.
class Ledger {
 public:
  // Replaces what is known of the graph: TensorFlow optimizes each several times over. What an
  // earlier pass renamed is ours by then, and stays "renamed".
  void record(const std::string& graph, std::vector<Entry> entries);

  // A line for each op, of fields that are separated by tabs: graph, node, traced function, traced
  // node, op, device, "ours" or "stock", why. TensorFlow's names have neither tabs nor newlines.
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Entry>> graphs_;
};

}  // namespace tf_dwbp::swap
