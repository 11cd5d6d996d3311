// Gather against trying every tap.

#include "cc/conv/gather.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cc/tests/check.h"
#include "cc/tests/links.h"

namespace tf_dwbp::conv {
namespace {

using testing::check;
using testing::Links;
using testing::links_without_borders;

// Both ops of an axis, with how to find what a position gathers.
template <typename Check>
void for_both(const Axis& axis, Check check_op) {
  for (const bool forward : {false, true}) {
    check_op(forward ? Gather::forward(axis) : Gather::input_grad(axis),
             [&, forward](int64_t i) { return testing::links_of(axis, forward, i); });
  }
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

// What positions from one on need at the least, and what a few of them need at most, is what they
// need somewhere: nothing is held that is never read.
TF_DWBP_TEST(what_positions_reach_is_exact) {
  constexpr int64_t kMost = 9;
  for (int64_t stride = 1; stride <= 4; ++stride)
    for (int64_t dilation = 1; dilation <= 4; ++dilation)
      for (int64_t filter = 1; filter <= 4; ++filter)
        for (const int64_t size : {0, 1, 5, 12, 1000})
          for (const bool forward : {false, true}) {
            const int64_t pad = (stride + 3 * dilation + filter) % 7;
            const Axis axis{size, size, filter, stride, dilation, pad};
            const Gather gather = forward ? Gather::forward(axis) : Gather::input_grad(axis);
            const std::string text = std::string(forward ? "forward" : "input gradient") +
                                     ", stride " + std::to_string(stride) + ", dilation " +
                                     std::to_string(dilation) + ", filter " +
                                     std::to_string(filter) + ", size " + std::to_string(size);
            std::vector<int64_t> reach(kMost + 1, 0);
            for (int64_t first = 0; first < 2 * stride; ++first) {
              int64_t lowest = std::numeric_limits<int64_t>::max();
              int64_t highest = std::numeric_limits<int64_t>::min();
              const int64_t last = first + stride * dilation;
              for (int64_t i = first; i <= last; ++i) {
                for (const auto& link : links_without_borders(axis, forward, i)) {
                  lowest = std::min(lowest, link.second);
                  highest = std::max(highest, link.second);
                }
              }
              check(gather.highest_source(last) == std::min(size - 1, highest), text + ", highest");
              check(gather.lowest_source(first) == std::max<int64_t>(0, lowest), text + ", lowest");
              for (int64_t i = first; i < first + kMost; ++i) {
                int64_t& most = reach[i - first + 1];
                most = std::max(most, reach[i - first]);
                for (const auto& link : links_without_borders(axis, forward, i)) {
                  most = std::max(most, link.second - lowest + 1);
                }
              }
            }
            for (int64_t n = 1; n <= kMost; ++n) {
              const int64_t most = std::max<int64_t>(1, std::min(reach[n], size));
              check(gather.reach(n) == most, text + ", reach of " + std::to_string(n));
            }
          }
}

TF_DWBP_TEST(a_position_has_so_many_taps) {
  for (int64_t stride = 1; stride <= 6; ++stride)
    for (int64_t dilation = 1; dilation <= 6; ++dilation)
      for (int64_t filter = 1; filter <= 5; ++filter)
        for (const bool forward : {false, true}) {
          const Axis axis{60, 60, filter, stride, dilation, 0};
          const Gather gather = forward ? Gather::forward(axis) : Gather::input_grad(axis);
          int64_t most = 0, all = 0;
          for (int64_t i = 0; i < 60; ++i) {
            const auto taps = static_cast<int64_t>(links_without_borders(axis, forward, i).size());
            most = std::max(most, taps);
            all += taps;
          }
          const std::string text = std::to_string(stride) + ", " + std::to_string(dilation);
          check(gather.most_taps() == most, "most taps: " + text);
          check(std::abs(gather.average_taps() - static_cast<double>(all) / 60) < 1e-9,
                "taps on average: " + text);
        }
}

// Stride 1, no dilation, no padding: a plain convolution, where nothing else is said.
TF_DWBP_TEST(a_call_is_plain_where_nothing_is_said) {
  const Axis axis;
  check(axis.in == 0 && axis.out == 0 && axis.filter == 0, "an axis without positions");
  check(axis.stride == 1 && axis.dilation == 1 && axis.pad_before == 0 && axis.pad_after == 0,
        "an axis");
  const Attributes all;
  check(all.layout == Layout::kNHWC && all.padding == Padding::kSame, "attributes");
  for (const AxisAttributes& a : {all.height, all.width}) {
    check(a.stride == 1 && a.dilation == 1 && a.pad_before == 0 && a.pad_after == 0, "their axes");
  }
  const Geometry g;
  check(g.layout == Layout::kNHWC && g.padding == Padding::kSame && g.batch == 0 &&
            g.channels == 0 && g.multiplier == 0,
        "a geometry");
}

TF_DWBP_TEST(tensors_have_so_many_elements) {
  const Geometry g{Layout::kNCHW, 2, 3, 5, {7, 11, 13, 1, 1, 9}, {17, 19, 23, 1, 1, 12}};
  check(g.out_channels() == 15, "channels of the output");
  check(g.input_elements() == 2 * 3 * 7 * 17, "input");
  check(g.filter_elements() == 13 * 23 * 15, "filter");
  check(g.output_elements() == 2 * 15 * 11 * 19, "output");
  const Gathering forward = Gathering::forward(g), grad = Gathering::input_grad(g);
  check(forward.channels == 15 && forward.source_channels() == 3, "channels, forward");
  check(forward.result_elements() == g.output_elements(), "result, forward");
  check(forward.source_elements() == g.input_elements(), "source, forward");
  check(grad.channels == 3 && grad.source_channels() == 15, "channels, input gradient");
  check(grad.result_elements() == g.input_elements(), "result, input gradient");
  check(grad.source_elements() == g.output_elements(), "source, input gradient");
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
