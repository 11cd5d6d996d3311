// Which kernels have run, how often, and on what kinds of jobs. The test program is compiled with
// TF_DWBP_COUNT_KERNELS, by which cc/cpu/runtime/dispatch.h gives out functions that count and call
// through.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tf_dwbp::testing {

struct KernelCount {
  std::string name;  // such as "float direct[0][2][3]"
  int64_t runs;
};

// If set, called with each job of the kind before its kernel is.
template <typename Job>
inline std::function<void(const Job&)> observer;

// All kernels of the table in use, and all kinds of jobs that a test has to see.
std::vector<KernelCount> kernel_counts();

}  // namespace tf_dwbp::testing
