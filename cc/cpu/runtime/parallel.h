// How kernels share work among threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

#include "cc/conv/math.h"
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

// The items of a call that nobody has taken yet. A worker takes neighbours, one after the other,
// from a range of its own, since it prefetches what the next item needs, and then from the others'
// ranges.
class Items {
 public:
  Items(int64_t count, int64_t workers) : ranges_(std::min(workers, kMostRanges)) {
    for (int64_t i = 0; i < ranges_; ++i) {
      range_[i].next.store(conv::begin_of_part(count, ranges_, i), std::memory_order_relaxed);
      range_[i].end = conv::begin_of_part(count, ranges_, i + 1);
    }
  }
  // For the worker of that number.
  bool take(int64_t worker, int64_t* item) {
    for (int64_t i = 0; i < ranges_; ++i) {
      Range& range = range_[(worker + i) % ranges_];
      if (range.next.load(std::memory_order_relaxed) >= range.end) continue;
      *item = range.next.fetch_add(1, std::memory_order_relaxed);
      if (*item < range.end) return true;
    }
    return false;
  }
  // Nobody gets another one.
  void cancel() {
    for (int64_t i = 0; i < ranges_; ++i) {
      range_[i].next.store(range_[i].end, std::memory_order_relaxed);
    }
  }

 private:
  // More workers share them.
  static constexpr int64_t kMostRanges = 16;
  struct alignas(64) Range {  // of a cache line, which others do not disturb
    std::atomic<int64_t> next;
    int64_t end;
  };
  Range range_[kMostRanges];
  const int64_t ranges_;
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

// Returns when all items are done. Calls `work` itself, and has others call it too if the items,
// which cost so many cycles in all, are worth waking a thread; threads that come when all is taken
// are not waited for. Waking a thread takes up to 50 microseconds, so the caller wakes one, and
// each that comes two more. The numbers that `work` is called with are below `workers`, however
// many threads there are.
//
// What `work` throws in any thread is thrown here, once no thread works any more.
void share(const Parallel& parallel, int64_t workers, int64_t items, double cycles,
           const Work& work);

}  // namespace tf_dwbp::cpu
