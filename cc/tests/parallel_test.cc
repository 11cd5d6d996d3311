// Each item is done once, whoever comes and whenever.

#include "cc/cpu/runtime/parallel.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cc/tests/check.h"

namespace tf_dwbp::cpu {
namespace {

constexpr int64_t kItems = 1000;

struct Counts {
  std::vector<std::atomic<int>> of_item = std::vector<std::atomic<int>>(kItems);
  std::vector<std::atomic<int>> of_worker = std::vector<std::atomic<int>>(4);
  std::atomic<int> calls{0};

  auto work() {
    return [this](Items* items, int64_t worker) {
      ++calls;
      for (int64_t item; items->take(worker, &item);) {
        ++of_item[item];
        ++of_worker[worker];
      }
    };
  }

  bool each_once() const {
    bool once = true;
    for (const std::atomic<int>& count : of_item) once &= count == 1;
    return once;
  }
};

using testing::check;

// Starts a thread for each function, whoever schedules it.
class Threads {
 public:
  Parallel parallel(int64_t threads) {
    return {threads,
            [this](std::function<void()> function) {
              const std::lock_guard<std::mutex> lock(mutex_);
              threads_.emplace_back(std::move(function));
            },
            1};
  }
  // How many were started, once all have ended; then nobody starts more.
  size_t join() {
    for (size_t i = 0;; ++i) {
      std::thread next;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (i == threads_.size()) return i;
        next.swap(threads_[i]);
      }
      next.join();
    }
  }

 private:
  std::mutex mutex_;
  std::deque<std::thread> threads_;
};

TF_DWBP_TEST(others_help) {
  for (int round = 0; round < 50; ++round) {
    Counts counts;
    Threads threads;
    share(threads.parallel(4), 4, kItems, kItems, counts.work());
    // No thread may be at work any more.
    const int calls = counts.calls;
    check(counts.each_once(), "each item once");
    const size_t started = threads.join();
    check(started >= 1 && started <= 3, "three are asked at most");
    check(counts.calls == calls, "nobody begins after the end");
  }
}

// Waking threads takes its time: the caller wakes one, and each that comes two more.
TF_DWBP_TEST(those_who_are_woken_wake_others) {
  for (const int64_t workers : {2, 3, 4, 7, 40}) {
    std::map<std::thread::id, int> asked_by;
    std::mutex mutex;
    Threads threads;
    Parallel parallel = threads.parallel(workers);
    parallel.schedule = [&, start = parallel.schedule](std::function<void()> function) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        ++asked_by[std::this_thread::get_id()];
      }
      start(std::move(function));
    };
    std::atomic<int64_t> here{0};
    share(parallel, workers, kItems, kItems, [&](Items* items, int64_t worker) {
      // There are items until all have come.
      ++here;
      while (here < workers) std::this_thread::yield();
      for (int64_t item; items->take(worker, &item);) continue;
    });
    check(threads.join() == static_cast<size_t>(workers - 1), "all are woken");
    check(asked_by[std::this_thread::get_id()] == 1, "one by the caller");
    for (const auto& [thread, asked] : asked_by) check(asked <= 2, "two by each at most");
  }
}

TF_DWBP_TEST(helpers_work_under_numbers_of_their_own) {
  Counts counts;
  const Parallel parallel{4, [](const std::function<void()>& function) { function(); }, 1};
  share(parallel, 4, kItems, kItems, counts.work());
  check(counts.each_once(), "each item once");
  check(counts.calls == 4, "all are called");
  check(counts.of_worker[2] == kItems, "the first that comes to it does all");
}

TF_DWBP_TEST(helpers_that_come_late_do_nothing) {
  std::vector<std::function<void()>> scheduled;
  {
    Counts counts;
    const Parallel parallel{
        4, [&](const std::function<void()>& function) { scheduled.push_back(function); }, 1};
    share(parallel, 4, kItems, kItems, counts.work());
    check(counts.each_once() && counts.calls == 1, "the caller does all");
  }
  check(scheduled.size() == 1, "one was asked");
  // What it would work on is gone, and what it would ask others with: the sanitizers would tell.
  for (const std::function<void()>& function : std::vector(scheduled)) function();
  check(scheduled.size() == 1, "nobody else is asked");
}

TF_DWBP_TEST(nobody_is_woken_for_little) {
  Counts counts;
  int asked = 0;
  const Parallel parallel{4, [&](const std::function<void()>&) { ++asked; }, 600};
  share(parallel, 4, kItems, kItems, counts.work());
  check(asked == 0 && counts.each_once(), "1000 cycles are not worth two threads of 600");
  share(parallel, 4, kItems, 1200, counts.work());
  check(asked == 1, "1200 are");
  share(parallel, 4, 1, 1e6, counts.work());
  check(asked == 1, "one item is one thread's");
}

// A plan has room for so many workers; more threads than that must not work under new numbers.
TF_DWBP_TEST(threads_beyond_the_workers_are_not_asked) {
  for (const int64_t threads : {1, 2, 4, 100}) {
    Counts counts;
    int asked = 0;
    const Parallel parallel{threads,
                            [&](const std::function<void()>& function) {
                              ++asked;
                              function();
                            },
                            0};
    share(parallel, 2, kItems, kItems, counts.work());
    check(counts.each_once(), "each item once");
    check(asked == (threads > 1 ? 1 : 0), std::to_string(threads) + " threads, 2 workers");
  }
}

// What a worker prefetches is what comes next: its own range, in order, and only then what others
// have left.
TF_DWBP_TEST(workers_take_neighbours) {
  for (const int64_t workers : {1, 3, 4, 16, 40}) {
    Items items(kItems, workers);
    const int64_t ranges = std::min<int64_t>(workers, 16);
    std::vector<int> taken(kItems);
    int64_t item = -1;
    for (int64_t worker = 0; worker < ranges; ++worker) {
      const int64_t first = kItems * worker / ranges;
      for (int64_t i = 0; i < 10; ++i) {
        check(items.take(worker, &item) && item == first + i, "its own, in order");
        ++taken[item];
      }
    }
    while (items.take(workers - 1, &item)) ++taken[item];
    for (const int times : taken) check(times == 1, "all others', once");
    check(!items.take(0, &item), "nothing is left");
  }
  Items few(2, 4);
  int64_t item = -1;
  check(few.take(0, &item) && few.take(0, &item) && !few.take(3, &item), "more workers than items");
  Items cancelled(kItems, 4);
  cancelled.cancel();
  for (int64_t worker = 0; worker < 4; ++worker) check(!cancelled.take(worker, &item), "cancelled");
}

// An exception that left a thread would end the process.
TF_DWBP_TEST(exceptions_reach_the_caller) {
  for (const int64_t thrower : {0, 1, 3}) {
    Threads threads;
    std::atomic<int64_t> here{0};
    const auto work = [&](Items* items, int64_t worker) {
      // All come together, so that the one who throws has company.
      ++here;
      while (here < 4) std::this_thread::yield();
      if (worker == thrower) throw std::bad_alloc();
      for (int64_t item; items->take(worker, &item);) continue;
    };
    bool thrown = false;
    try {
      share(threads.parallel(4), 4, kItems, kItems, work);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    check(thrown, "the exception of worker " + std::to_string(thrower));
    threads.join();
  }
}

TF_DWBP_TEST(without_memory_for_helpers_the_caller_does_all) {
  Counts counts;
  const Parallel parallel{4, [](const std::function<void()>&) { throw std::bad_alloc(); }, 0};
  share(parallel, 4, kItems, kItems, counts.work());
  check(counts.each_once() && counts.calls == 1, "each item once");
}

}  // namespace
}  // namespace tf_dwbp::cpu
