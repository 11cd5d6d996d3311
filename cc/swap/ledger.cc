#include "cc/swap/ledger.h"

#include <algorithm>
#include <utility>

namespace tf_dwbp::swap {
namespace {

constexpr char kCalls[] = "eager calls";

void add_line(const std::string& graph, const Entry& entry, int64_t count, std::string* text) {
  for (const std::string* field : {&graph, &entry.node, &entry.traced_function, &entry.traced_node,
                                   &entry.op, &entry.device}) {
    *text += *field;
    *text += '\t';
  }
  *text += entry.ours ? "ours\t" : "stock\t";
  *text += entry.why + '\t' + std::to_string(count) + '\n';
}

}  // namespace

void Ledger::optimized(const std::string& graph, std::vector<Entry> entries) {
  std::lock_guard<std::mutex> lock(mutex_);
  optimized_[graph] = std::move(entries);
}

void Ledger::called(const std::string& function, std::vector<Entry> entries) {
  std::lock_guard<std::mutex> lock(mutex_);
  optimized_.emplace(function, std::move(entries));
}

void Ledger::executed(const std::string& graph, const std::vector<Entry>& entries) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Entry>& known = executed_[graph];
  for (const Entry& entry : entries) {
    const auto is_same = [&entry](const Entry& other) {
      return std::tie(other.node, other.ours, other.why, other.device) ==
             std::tie(entry.node, entry.ours, entry.why, entry.device);
    };
    if (std::none_of(known.begin(), known.end(), is_same)) known.push_back(entry);
  }
}

void Ledger::call(const std::string& op, bool ours, const std::string& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++calls_[{op, ours, why}];
}

int64_t Ledger::next_number() {
  std::lock_guard<std::mutex> lock(mutex_);
  return ++numbers_;
}

std::string Ledger::text() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string text;
  for (const auto& [graph, entries] : executed_) {
    for (const Entry& entry : entries) add_line(graph, entry, 1, &text);
    if (entries.empty()) add_line(graph, Entry(), 0, &text);
  }
  for (const auto& [graph, entries] : optimized_) {
    if (executed_.count(graph) > 0) continue;
    for (const Entry& entry : entries) add_line(graph, entry, 1, &text);
  }
  for (const auto& [key, count] : calls_) {
    Entry entry;
    std::tie(entry.op, entry.ours, entry.why) = key;
    add_line(kCalls, entry, count, &text);
  }
  return text;
}

}  // namespace tf_dwbp::swap
