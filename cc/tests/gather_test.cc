// Gather against trying every tap.

#include "cc/conv/gather.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cc/tests/check.h"

namespace tf_dwbp::conv {
namespace {

using testing::check;
using Links = std::vector<std::pair<int64_t, int64_t>>;  // tap, source

// Both ops of an axis, with how to find what a position gathers: tap and source.
template <typename Check>
void for_both(const Axis& axis, Check check_op) {
  check_op(Gather::input_grad(axis), [&](int64_t i) {
    Links links;
    for (int64_t k = 0; k < axis.filter; ++k) {
      const int64_t distance = i + axis.pad_before - k * axis.dilation;
      if (distance < 0 || distance % axis.stride != 0) continue;
      if (distance / axis.stride < axis.out) links.emplace_back(k, distance / axis.stride);
    }
    return links;
  });
  check_op(Gather::forward(axis), [&](int64_t o) {
    Links links;
    for (int64_t k = axis.filter - 1; k >= 0; --k) {
      const int64_t i = o * axis.stride + k * axis.dilation - axis.pad_before;
      if (i >= 0 && i < axis.in) links.emplace_back(axis.filter - 1 - k, i);
    }
    return links;
  });
}

Links links_of(const TapRange& range, const Gather& gather) {
  Links links;
  for (int64_t n = 0; n < range.count; ++n) {
    links.emplace_back(range.tap + n * gather.tap_step(), range.source - n * gather.source_step());
  }
  return links;
}

TF_DWBP_TEST(taps_are_those_that_meet) {
  for (int64_t stride = 1; stride <= 6; ++stride)
    for (int64_t dilation = 1; dilation <= 6; ++dilation)
      for (int64_t filter = 1; filter <= 5; ++filter)
        for (int64_t out = 0; out <= 6; ++out)
          for (int64_t pad = 0; pad <= 9; pad += 3) {
            const Axis axis{12, out, filter, stride, dilation, pad};
            const std::string text = "stride " + std::to_string(stride) + ", dilation " +
                                     std::to_string(dilation) + ", filter " +
                                     std::to_string(filter) + ", out " + std::to_string(out) +
                                     ", pad " + std::to_string(pad) + ", position ";
            for_both(axis, [&](const Gather& gather, auto expected) {
              for (int64_t i = 0; i < gather.result(); ++i) {
                const Links links = expected(i);
                check(links_of(gather.at(i), gather) == links, text + std::to_string(i));
                check(static_cast<int64_t>(links.size()) <= gather.most_taps(), text + "most");
              }
            });
          }
}

TF_DWBP_TEST(positions_of_a_phase_and_of_a_period_gather_alike) {
  for (int64_t stride = 1; stride <= 6; ++stride)
    for (int64_t dilation = 1; dilation <= 6; ++dilation) {
      const Axis axis{40, 40, 4, stride, dilation, 5};
      for_both(axis, [&](const Gather& gather, auto) {
        const std::string text =
            "stride " + std::to_string(stride) + ", dilation " + std::to_string(dilation);
        check(gather.period() % gather.phase_stride() == 0, text);
        for (const auto& [step, shift] :
             {std::pair(gather.phase_stride(), gather.phase_shift()),
              std::pair(gather.period(), gather.shift() * gather.source_step())}) {
          for (int64_t i = 0; i + step < gather.result(); ++i) {
            TapRange moved = gather.without_borders(i);
            const TapRange next = gather.without_borders(i + step);
            moved.source += moved.count == 0 ? 0 : shift;
            check(links_of(moved, gather) == links_of(next, gather), text);
          }
        }
      });
    }
}

TF_DWBP_TEST(what_positions_reach_is_bounded) {
  for (int64_t stride = 1; stride <= 4; ++stride)
    for (int64_t dilation = 1; dilation <= 4; ++dilation)
      for (int64_t pad = 0; pad <= 6; pad += 2) {
        const Axis axis{17, 12, 3, stride, dilation, pad};
        for_both(axis, [&](const Gather& gather, auto expected) {
          for (int64_t first = 0; first < gather.result(); ++first) {
            int64_t lowest = gather.source(), highest = -1;
            for (int64_t end = first; end < gather.result(); ++end) {
              for (const auto& [tap, source] : expected(end)) {
                lowest = std::min(lowest, source);
                highest = std::max(highest, source);
              }
              check(highest - lowest < gather.reach(end - first + 1), "reach");
            }
            check(highest < 0 || gather.lowest_source(first) <= lowest, "lowest source");
          }
        });
      }
}

TF_DWBP_TEST(largest_steps_do_not_overflow) {
  constexpr int64_t kMax = 2147483647;
  for (const int64_t stride : {int64_t{1}, int64_t{2}, kMax - 1, kMax})
    for (const int64_t dilation : {int64_t{1}, int64_t{2}, kMax - 1, kMax}) {
      const Axis axis{kMax, 1 + (kMax - 1) / stride, kMax, stride, dilation, kMax};
      const std::string text =
          "stride " + std::to_string(stride) + ", dilation " + std::to_string(dilation);
      for (const bool forward : {false, true}) {
        const Gather gather = forward ? Gather::forward(axis) : Gather::input_grad(axis);
        for (const int64_t i : {int64_t{0}, int64_t{1}, kMax / 2, kMax - 1}) {
          if (i >= gather.result()) continue;
          const TapRange range = gather.at(i);
          check(gather.lowest_source(i) >= 0 && gather.reach(1) <= gather.source(), text);
          if (range.count == 0) continue;
          // Both ends of the progression meet the position.
          for (const int64_t n : {int64_t{0}, range.count - 1}) {
            const int64_t tap = range.tap + n * gather.tap_step();
            const int64_t source = range.source - n * gather.source_step();
            const int64_t in = forward ? source : i, out = forward ? i : source;
            const int64_t k = forward ? axis.filter - 1 - tap : tap;
            check(tap >= 0 && tap < axis.filter && source >= 0 && source < gather.source() &&
                      out * stride + k * dilation == in + axis.pad_before,
                  text);
          }
        }
      }
    }
}

}  // namespace
}  // namespace tf_dwbp::conv
