// What the kernels ask of a thread pool.
#pragma once

#include <cstdint>
#include <functional>

namespace tf_dwbp::cpu {

// Calls body(begin, end) until [0, items) is covered, each item once, from any threads, and
// returns when all is done. What an item costs lets the pool decide how many threads are worth
// waking.
using ParallelFor = std::function<void(int64_t items, double cycles_of_item,
                                       const std::function<void(int64_t, int64_t)>& body)>;

}  // namespace tf_dwbp::cpu
