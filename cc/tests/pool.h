// A pool of real threads.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cc/cpu/runtime/parallel.h"

namespace tf_dwbp::testing {

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { work(); });
    }
  }
  ~Pool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // So many threads, the caller's included, for however little work.
  cpu::Parallel parallel(int64_t threads, double cycles_of_worker = 0) {
    return {threads, [this](std::function<void()> function) { schedule(std::move(function)); },
            cycles_of_worker};
  }

  // Waits until all that was scheduled is done.
  void drain() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.empty() && busy_ == 0; });
  }

 private:
  void schedule(std::function<void()> function) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_.push_back(std::move(function));
    }
    changed_.notify_all();
  }

  // Allocates nothing, so that all that fails in a thread of the pool is the function's.
  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      std::function<void()> function = std::move(waiting_.front());
      waiting_.pop_front();
      ++busy_;
      lock.unlock();
      function();
      function = nullptr;
      lock.lock();
      --busy_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  int busy_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

// Threads that are all the caller's: what one is asked for is done at once, and counted.
inline cpu::Parallel counted(int64_t threads, int* asked, double cycles_of_worker) {
  return {threads,
          [asked](const std::function<void()>& function) {
            ++*asked;
            function();  // which asks others
          },
          cycles_of_worker};
}

// The one that all tests share: of seven threads, and the caller's.
inline Pool& shared_pool() {
  static Pool pool(7);
  return pool;
}

}  // namespace tf_dwbp::testing
