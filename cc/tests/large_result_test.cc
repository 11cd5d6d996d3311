// How results are written: over buffers, past the caches, and wherever they lie.

#include <algorithm>
#include <string>
#include <vector>

#include "cc/tests/compare.h"

namespace tf_dwbp::testing {
namespace {

// Kernels look at where results lie relative to what they are made from.
TF_DWBP_TEST(wherever_results_lie) {
  const Axis same{5, 5, 3, 1, 1, 1}, half{6, 3, 3, 2, 1, 0};
  for (const Axis& axis : {same, half})
    for (int64_t channels : {64, 70, 128}) {
      const Geometry g{Layout::kNHWC, 1, channels, 1, axis, axis};
      const std::vector<int> a = pattern(g.filter_elements(), 1);
      const std::vector<int> b = pattern(g.output_elements(), 2);
      const std::vector<int> expected = by_definition(Op::kInputGrad, g, a, b);
      const std::vector<float> filter(a.begin(), a.end());
      const cpu::PlanPointer planned = plan({Op::kInputGrad, Dtype::kFloat, g}, serially());
      const Memory workspace(planned->workspace_bytes);
      for (int64_t ahead = 0; ahead < 4096; ahead += 64) {
        std::vector<float> memory(8192 + ahead / sizeof(float) + expected.size(), 77);
        std::copy(b.begin(), b.end(), memory.begin());
        float* const result = memory.data() + memory.size() - expected.size();
        cpu::run(*planned, {filter.data(), memory.data(), result, workspace.data()},
                 serially().parallel);
        check(std::equal(expected.begin(), expected.end(), result),
              std::to_string(channels) + " channels, " + std::to_string(ahead) + " bytes ahead");
      }
    }
}

// Results that are asked for ahead, written past the caches, or over a buffer, since their columns
// are 4 KB apart.
TF_DWBP_TEST(large_results) {
  const Axis three{3, 3, 3, 1, 1, 1};
  for (const int64_t channels : {2048, 2080, 2060}) {
    compare<float>({Layout::kNHWC, 1, channels, 1, three, {9, 9, 3, 1, 1, 1}}, serially());
    compare<Half>({Layout::kNHWC, 1, channels, 1, three, {9, 9, 3, 1, 1, 1}}, serially());
    compare<double>({Layout::kNHWC, 1, channels, 1, three, {9, 5, 3, 2, 1, 1}}, serially());
  }
  compare_all({Layout::kNHWC, 1, 40, 1, three, {300, 300, 3, 1, 128, 128}});
  for (const int64_t channels : {128, 130, 1024}) {
    if (!sampled()) continue;
    const int64_t width = 80 * 1024 / channels;
    compare<float>(
        {Layout::kNHWC, 1, channels, 1, {128, 64, 3, 2, 1, 1}, {width, width, 3, 1, 1, 1}},
        by_threads(3));
    compare<Bfloat16>(
        {Layout::kNHWC, 2, channels, 1, {128, 128, 3, 1, 2, 2}, {width, width, 3, 1, 1, 1}},
        by_threads(3));
  }
}

}  // namespace
}  // namespace tf_dwbp::testing
