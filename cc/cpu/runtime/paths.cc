#include "cc/cpu/runtime/paths.h"

#include <atomic>

namespace tf_dwbp::cpu {
namespace {

constexpr int kPaths = static_cast<int>(Path::kCount);

constexpr const char* kNames[kPaths] = {
    "zeros",
    "lines",
    "lines, split",
    "lines, joined",
    "direct",
    "direct, pairs",
    "direct, write buffer",
    "direct, non-temporal",
    "direct, prefetch",
    "packed",
    "packed, row-wise",
    "packed, shared vectors",
    "filter lines",
    "filter lines, split",
    "filter direct",
    "filter direct, prefetch",
    "filter packed",
    "filter tapwise",
    "filter shared vectors",
};

std::atomic<int64_t> g_counts[kPaths];

}  // namespace

void count(Path path) { g_counts[static_cast<int>(path)].fetch_add(1, std::memory_order_relaxed); }

const char* name_of(Path path) { return kNames[static_cast<int>(path)]; }

int64_t count_of(Path path) {
  return g_counts[static_cast<int>(path)].load(std::memory_order_relaxed);
}

}  // namespace tf_dwbp::cpu

// For programs that load the library. `path` counts from 0; past the last, the name is nullptr.
extern "C" __attribute__((visibility("default"))) const char* tf_dwbp_path_name(int path) {
  using namespace tf_dwbp::cpu;
  return path >= 0 && path < kPaths ? kNames[path] : nullptr;
}

extern "C" __attribute__((visibility("default"))) int64_t tf_dwbp_path_count(int path) {
  using namespace tf_dwbp::cpu;
  return path >= 0 && path < kPaths ? count_of(static_cast<Path>(path)) : 0;
}
