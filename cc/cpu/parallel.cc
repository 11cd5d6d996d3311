#include "cc/cpu/parallel.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace tf_dwbp::cpu {
namespace {

// Time to look again and again whether the others are done, before going to sleep: being woken
// may take longer.
constexpr auto kPatience = std::chrono::microseconds(50);

// Outlives the call, since scheduled functions may run at any time.
class Team {
 public:
  Team(int64_t items, const Work& work) : items_(items), work_(work) {}

  void lead() {
    work_(&items_, 0);
    if (members_.fetch_add(kClosed, std::memory_order_acq_rel) == 0) return;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      if (done()) return;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    left_.wait(lock, [this] { return done(); });
  }

  void join(int64_t worker) {
    // All is taken, and the caller, with what `work_` refers to, may be gone.
    const bool late = members_.fetch_add(1, std::memory_order_acq_rel) >= kClosed;
    if (!late) work_(&items_, worker);
    if (members_.fetch_sub(1, std::memory_order_acq_rel) == kClosed + 1) {
      const std::lock_guard<std::mutex> lock(mutex_);
      left_.notify_one();
    }
  }

 private:
  static constexpr int64_t kClosed = int64_t{1} << 32;
  bool done() const { return members_.load(std::memory_order_acquire) == kClosed; }

  Items items_;
  const Work& work_;
  std::atomic<int64_t> members_{0};  // besides the caller; kClosed more when it is done
  std::mutex mutex_;
  std::condition_variable left_;
};

}  // namespace

void share(const Parallel& parallel, int64_t items, double cycles_of_item, const Work& work) {
  const double worth = std::min(items * cycles_of_item / parallel.cycles_of_worker, 1e6);
  const int64_t workers = std::min({parallel.workers, items, static_cast<int64_t>(worth)});
  if (workers <= 1) {
    Items all(items);
    work(&all, 0);
    return;
  }
  const auto team = std::make_shared<Team>(items, work);
  for (int64_t worker = 1; worker < workers; ++worker) {
    parallel.schedule([team, worker] { team->join(worker); });
  }
  team->lead();
}

}  // namespace tf_dwbp::cpu
