// What the kernels ask of a thread pool.
#pragma once

#include <cstdint>
#include <functional>

namespace tf_dwbp::cpu {

// What an item of work costs, for the pool to decide how many threads are worth waking.
struct Cost {
  double bytes_read;
  double bytes_written;
  double cycles;
};

// Calls body(begin, end) until [0, items) is covered, each item once, from any threads, and
// returns when all is done.
using ParallelFor = std::function<void(int64_t items, const Cost& cost_of_item,
                                       const std::function<void(int64_t, int64_t)>& body)>;

}  // namespace tf_dwbp::cpu
