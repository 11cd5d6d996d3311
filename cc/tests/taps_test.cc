// TapFinder against trying every tap.

#include "cc/conv/taps.h"

#include <string>
#include <utility>
#include <vector>

#include "cc/tests/check.h"

namespace tf_dwbp::conv {
namespace {

using testing::check;

TF_DWBP_TEST(taps_are_those_that_meet) {
  for (int64_t stride = 1; stride <= 6; ++stride)
    for (int64_t dilation = 1; dilation <= 6; ++dilation)
      for (int64_t filter = 1; filter <= 5; ++filter)
        for (int64_t out = 0; out <= 6; ++out)
          for (int64_t pad = 0; pad <= 9; pad += 3) {
            const Axis axis{12, out, filter, stride, dilation, pad};
            const TapFinder finder(axis);
            for (int64_t i = 0; i < axis.in; ++i) {
              std::vector<std::pair<int64_t, int64_t>> expected, found;
              for (int64_t k = 0; k < filter; ++k) {
                const int64_t distance = i + pad - k * dilation;
                if (distance < 0 || distance % stride != 0) continue;
                if (distance / stride < out) expected.emplace_back(k, distance / stride);
              }
              const TapRange range = finder.at(i);
              for (int64_t n = 0; n < range.count; ++n) {
                found.emplace_back(range.tap + n * finder.tap_step(),
                                   range.out - n * finder.out_step());
              }
              check(found == expected,
                    "stride " + std::to_string(stride) + ", dilation " + std::to_string(dilation) +
                        ", filter " + std::to_string(filter) + ", out " + std::to_string(out) +
                        ", pad " + std::to_string(pad) + ", position " + std::to_string(i));
            }
          }
}

TF_DWBP_TEST(largest_steps_do_not_overflow) {
  constexpr int64_t kMax = 2147483647;
  for (const int64_t stride : {int64_t{1}, int64_t{2}, kMax - 1, kMax})
    for (const int64_t dilation : {int64_t{1}, int64_t{2}, kMax - 1, kMax}) {
      const Axis axis{kMax, 1 + (kMax - 1) / stride, kMax, stride, dilation, kMax};
      const TapFinder finder(axis);
      for (const int64_t i : {int64_t{0}, int64_t{1}, kMax / 2, kMax - 1}) {
        const TapRange range = finder.at(i);
        if (range.count == 0) {
          check(true, "");
          continue;
        }
        // Both ends of the progression meet the position.
        for (const int64_t n : {int64_t{0}, range.count - 1}) {
          const int64_t tap = range.tap + n * finder.tap_step();
          const int64_t out = range.out - n * finder.out_step();
          check(tap >= 0 && tap < axis.filter && out >= 0 && out < axis.out &&
                    out * stride + tap * dilation == i + axis.pad_before,
                "stride " + std::to_string(stride) + ", dilation " + std::to_string(dilation));
        }
      }
    }
}

}  // namespace
}  // namespace tf_dwbp::conv
