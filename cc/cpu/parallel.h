// What the kernels ask of a thread pool.
#pragma once

#include <cstdint>
#include <functional>

namespace tf_dwbp::cpu {

struct Parallel {
  // Numbers of the threads that may work at the same time run below this.
  int64_t workers;

  // Calls body(begin, end, worker) until [0, items) is covered, each item once, and returns when
  // all is done. No two calls run at the same time with the same number of a worker. What an item
  // costs lets the pool decide how many threads are worth waking.
  using Body = std::function<void(int64_t begin, int64_t end, int64_t worker)>;
  std::function<void(int64_t items, double cycles_of_item, const Body& body)> run;
};

}  // namespace tf_dwbp::cpu
