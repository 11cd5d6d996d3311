// What became of the depthwise ops of all that TensorFlow has run in this process.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "cc/conv/export.h"
#include "cc/swap/rename.h"

namespace tf_dwbp::swap {

// Thread-safe.
class TF_DWBP_EXPORT Ledger {
 public:
  // What a graph is optimized to, which TensorFlow does several times over: replaces what was said
  // before. It counts until the graph is seen to be executed.
  void optimized(const std::string& graph, std::vector<Entry> entries);

  // The ops of a function that a graph calls, if nothing else is known of the function.
  void called(const std::string& function, std::vector<Entry> entries);

  // What TensorFlow executes. A graph may be made ready more than once, with another result: each
  // result is kept. One without depthwise ops is known to have run.
  void executed(const std::string& graph, const std::vector<Entry>& entries);

  // A call of an op by itself; `op` is stock's name.
  void call(const std::string& op, bool ours, const std::string& why);

  // A number for a graph that has no name.
  int64_t next_number();

  // A line for each op, of fields that are separated by tabs: graph, node, traced function, traced
  // node, op, device, "ours" or "stock", why, count. A graph that ran without depthwise ops has a
  // line without op. Calls have the graph "eager calls". TensorFlow's names have neither tabs nor
  // newlines.
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Entry>> optimized_;
  std::map<std::string, std::vector<Entry>> executed_;
  std::map<std::tuple<std::string, bool, std::string>, int64_t> calls_;
  int64_t numbers_ = 0;
};

}  // namespace tf_dwbp::swap
