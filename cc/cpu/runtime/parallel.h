// How kernels share work among threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

// What a thread pool has to offer.
struct Parallel {
  // Threads that may work on a call at the same time, the one that makes it included.
  int64_t threads;
  // Has another thread call the function, soon, late or right away. May throw std::bad_alloc.
  std::function<void(std::function<void()>)> schedule;
  double cycles_of_worker = kCyclesOfWorker;  // of work for each thread at least
};

// The items of a call that nobody has taken yet.
class Items {
 public:
  explicit Items(int64_t count) : count_(count) {}
  bool take(int64_t* item) {
    *item = next_.fetch_add(1, std::memory_order_relaxed);
    return *item < count_;
  }
  // Nobody gets another one.
  void cancel() { next_.store(count_, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> next_{0};
  const int64_t count_;
};

// A function of (Items* items, int64_t worker) that takes items until there are no more; no two
// threads work under the same number at a time. A reference, since a copy would be allocated.
class Work {
 public:
  template <typename Function>
  Work(const Function& function)  // NOLINT: as parameters bind
      : function_(&function), call_([](const void* function, Items* items, int64_t worker) {
          (*static_cast<const Function*>(function))(items, worker);
        }) {}
  void operator()(Items* items, int64_t worker) const { call_(function_, items, worker); }

 private:
  const void* function_;
  void (*call_)(const void*, Items*, int64_t);
};

// Returns when all items are done. Calls `work` itself, and has others call it too if the items
// are worth waking a thread; threads that come when all is taken are not waited for. The numbers
// that `work` is called with are below `workers`, however many threads there are.
//
// What `work` throws in any thread is thrown here, once no thread works any more.
void share(const Parallel& parallel, int64_t workers, int64_t items, double cycles_of_item,
           const Work& work);

}  // namespace tf_dwbp::cpu
