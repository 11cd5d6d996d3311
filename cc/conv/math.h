// Arithmetic of sizes.
#pragma once

#include <cstdint>
#include <numeric>

namespace tf_dwbp::conv {

// a / b, rounded up; a is not negative, b is positive.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The i-th of `parts` even parts of `size` begins here, and ends where the next begins.
constexpr int64_t begin_of_part(int64_t size, int64_t parts, int64_t i) { return size * i / parts; }

}  // namespace tf_dwbp::conv
