// Arithmetic of sizes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <numeric>

namespace tf_dwbp::conv {

// a / b, rounded up; a is not negative, b is positive.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The product of numbers that are not negative, or, if it is larger, the largest number there is.
constexpr int64_t product_or_most(std::initializer_list<int64_t> factors) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  int64_t product = 1;
  for (const int64_t factor : factors) {
    if (factor == 0) return 0;
    product = product > kMost / factor ? kMost : product * factor;
  }
  return product;
}

// The i-th of `parts` even parts of `size` begins here, and ends where the next begins.
constexpr int64_t begin_of_part(int64_t size, int64_t parts, int64_t i) { return size * i / parts; }

}  // namespace tf_dwbp::conv
