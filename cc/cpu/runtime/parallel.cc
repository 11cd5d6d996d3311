#include "cc/cpu/runtime/parallel.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace tf_dwbp::cpu {
namespace {

// Outlives the call, since scheduled functions may run at any time.
class Team : public std::enable_shared_from_this<Team> {
 public:
  Team(const Parallel& parallel, int64_t items, int64_t workers, const Work& work)
      : parallel_(parallel), workers_(workers), items_(items, workers), work_(work) {}

  void lead() {
    ask(1);
    work_as(0);
    wait();
    if (error_) std::rethrow_exception(error_);
  }

  void join(int64_t worker) {
    // All is taken, and the caller, with what `parallel_` and `work_` refer to, may be gone.
    const bool late = members_.fetch_add(1, std::memory_order_acq_rel) >= kClosed;
    if (!late) {
      ask(2 * worker);
      ask(2 * worker + 1);
      work_as(worker);
    }
    if (members_.fetch_sub(1, std::memory_order_acq_rel) == kClosed + 1) {
      const std::lock_guard<std::mutex> lock(mutex_);
      left_.notify_one();
    }
  }

 private:
  static constexpr int64_t kClosed = int64_t{1} << 32;
  bool done() const { return members_.load(std::memory_order_acquire) == kClosed; }

  // Has another thread join, if there is such a worker.
  void ask(int64_t worker) {
    if (worker >= workers_) return;
    try {
      parallel_.schedule([team = shared_from_this(), worker] { team->join(worker); });
    } catch (const std::bad_alloc&) {
      // With no memory to ask for help, those who have been asked do all.
    }
  }

  // An exception must not leave a thread of the pool, which would end the process, nor the caller
  // while others still use what `work` refers to.
  void work_as(int64_t worker) {
    try {
      work_(&items_, worker);
    } catch (...) {
      items_.cancel();
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void wait() {
    if (members_.fetch_add(kClosed, std::memory_order_acq_rel) == 0) return;
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::microseconds(kPatienceMicroseconds);
    while (std::chrono::steady_clock::now() < end) {
      if (done()) return;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    left_.wait(lock, [this] { return done(); });
  }

  const Parallel& parallel_;
  const int64_t workers_;
  Items items_;
  const Work& work_;
  std::atomic<int64_t> members_{0};  // besides the caller; kClosed more when it is done
  std::mutex mutex_;
  std::condition_variable left_;
  std::exception_ptr error_;  // the first that was thrown
};

}  // namespace

void share(const Parallel& parallel, int64_t workers, int64_t items, double cycles,
           const Work& work) {
  const double worth = std::min(cycles / parallel.cycles_of_worker, 1e6);
  workers = std::min({workers, parallel.threads, items, static_cast<int64_t>(worth)});
  if (workers <= 1) {
    Items all(items, 1);
    work(&all, 0);
    return;
  }
  std::make_shared<Team>(parallel, items, workers, work)->lead();
}

}  // namespace tf_dwbp::cpu
