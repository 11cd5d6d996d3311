// TF_DWBP_VERBOSE=1 prints a line on stderr for each call, the same on every device:
//   tf_dwbp,cpu,avx512,direct,forward:float:NHWC:b32:...,0.123 ms
#pragma once

#include <chrono>

#include "cc/conv/problem.h"

namespace tf_dwbp::conv {

// Whether lines are wanted; the variable is read once.
bool verbose();

class Stopwatch {
 public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin_ = Clock::now();
};

// `unit` follows the number, such as "ms".
void print_call(const char* device, const char* isa, const char* implementation,
                const Problem& problem, double milliseconds, const char* unit);

}  // namespace tf_dwbp::conv
