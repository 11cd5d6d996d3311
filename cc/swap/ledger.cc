#include "cc/swap/ledger.h"

#include <utility>

namespace tf_dwbp::swap {

void Ledger::record(const std::string& graph, std::vector<Entry> entries) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Entry>& known = graphs_[graph];
  for (Entry& entry : entries) {
    if (!entry.ours) continue;
    for (const Entry& before : known) {
      if (before.ours && before.node == entry.node) entry.why = before.why;
    }
  }
  known = std::move(entries);
}

std::string Ledger::text() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  for (const auto& [graph, entries] : graphs_) {
    for (const Entry& entry : entries) {
      for (const std::string* field : {&graph, &entry.node, &entry.traced_function,
                                       &entry.traced_node, &entry.op, &entry.device}) {
        text += *field;
        text += '\t';
      }
      text += entry.ours ? "ours\t" : "stock\t";
      text += entry.why;
      text += '\n';
    }
  }
  return text;
}

}  // namespace tf_dwbp::swap
