// Every kernel of the tables, each by a call that reaches it, and that every one has been run.

#include <cstdio>
#include <string>
#include <type_traits>

#include "cc/cpu/kernels/kernels.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/tests/compare.h"
#include "cc/tests/counted_kernels.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

template <typename Function>
void for_each_type(const Function& f) {
  f(Half());
  f(Bfloat16());
  f(float());
  f(double());
}

void compare_types(Op op, const Geometry& g, const How& how = as_asked()) {
  const Example example(op, g);
  for_each_type([&](auto t) { compare<decltype(t)>(example, how); });
}

constexpr int64_t kChannels = 16;  // a vector of the widest
const Axis kRow{1, 1, 1, 1, 1, 0};

// Tiles of every width, for all taps.
TF_DWBP_TEST(direct_kernels) {
  for (int64_t width = 1; width <= 8; ++width)
    for (int64_t taps = 1; taps <= 7; ++taps) {
      const Axis h{4, 4, 2, 1, 1, 1};
      compare_types(Op::kForward,
                    {Layout::kNHWC, 1, kChannels, 1, h, {width, width, taps, 1, 1, taps / 2}});
      compare_types(Op::kForward,
                    {Layout::kNHWC, 1, kChannels, 1, h, {2 * width, width, taps, 2, 1, taps / 2}});
      compare_types(Op::kInputGrad,
                    {Layout::kNHWC, 1, kChannels, 1, h, {2 * width, width, taps, 2, 1, taps / 2}});
    }
}

// Any number of taps, in sets of three: one more, two, none; tiles of every width, inside and
// beyond either border, and sets that meet nothing.
TF_DWBP_TEST(direct_kernels_of_any_number_of_taps) {
  for (int64_t width = 1; width <= 8; ++width)
    for (const int64_t taps : {8, 9, 10}) {
      const Axis h{3, 3, 2, 1, 1, 1};
      compare_types(Op::kForward,
                    {Layout::kNHWC, 1, kChannels, 1, h, {width, width, taps, 1, 1, taps / 2}});
      compare_types(Op::kForward,
                    {Layout::kNHWC, 1, kChannels, 1, h, {2 * width, width, taps, 2, 1, taps / 2}});
    }
  const Axis nine{9, 9, 9, 1, 1, 4};
  for (const Axis& width :
       {Axis{40, 40, 11, 1, 1, 5}, Axis{40, 20, 11, 2, 1, 4}, Axis{30, 30, 51, 1, 1, 25},
        Axis{60, 10, 51, 1, 1, 0}, Axis{41, 21, 31, 2, 1, 15}, Axis{40, 40, 9, 1, 2, 8}})
    for (const Op op : {Op::kForward, Op::kInputGrad}) {
      const int64_t before = count_of(cpu::Path::kDirect);
      const Geometry g{Layout::kNHWC, 1, kChannels + 1, 1, nine, width};
      How how = as_asked();
      how.implementation = &implementation(op, "direct");
      compare_types(op, g, how);
      check(count_of(cpu::Path::kDirect) > before, "direct");
    }
}

// Tiles of every width, whose columns are adjacent in the copy and are not.
TF_DWBP_TEST(packed_kernels) {
  for (int64_t width = 1; width <= 2 * cpu::kMostPackedColumns; ++width)
    for (const int64_t stride : {1, 3}) {
      const Axis w{(width - 1) * stride + 1, width, 1, stride, 1, 0};
      How how = as_asked();
      how.implementation = &implementation(Op::kForward, "packed");
      // Straight into the result, and by way of the accumulator's type.
      compare_types(Op::kForward, {Layout::kNHWC, 1, kChannels, 2, kRow, w}, how);
      compare_types(Op::kForward, {Layout::kNHWC, 1, 1, 1, kRow, w}, how);
    }
}

TF_DWBP_TEST(filter_kernels) {
  for (int64_t taps = 1; taps <= 8; ++taps)
    for (const int64_t stride : {1, 2})
      for (const int64_t channels : {int64_t{3}, kChannels}) {
        const Axis w{20, 20 / stride, taps, stride, 1, taps / 2};
        compare_types(Op::kFilterGrad, {Layout::kNHWC, 3, channels, 1, {9, 9, 3, 1, 1, 1}, w});
        compare_types(Op::kFilterGrad, {Layout::kNCHW, 3, channels, 1, {9, 9, 3, 1, 1, 1}, w});
      }
}

// Results that are prefetched, written past the caches, and over a write buffer.
TF_DWBP_TEST(large_tensors) {
  for_each_type([](auto t) {
    using T = decltype(t);
    // Has the fewest elements.
    if (options().one_of > 1 && !std::is_same_v<T, double>) return;
    const auto columns = [](int64_t bytes, int64_t rows, int64_t channels) {
      return bytes / static_cast<int64_t>(sizeof(T)) / (rows * channels) + 1;
    };
    const int64_t near = columns(1 << 20, 6, 72), far = columns(32 << 20, 2, 128) - 1;
    compare<T>(Op::kForward,
               {Layout::kNHWC, 1, 72, 1, {6, 6, 1, 1, 1, 0}, {near, near, 1, 1, 1, 0}});
    const Geometry large{Layout::kNHWC, 1, 128, 1, {2, 2, 1, 1, 1, 0}, {far, far, 1, 1, 1, 0}};
    // 32 MB of the result are written past the caches, less is not.
    const int64_t before = count_of(cpu::Path::kDirectNonTemporal);
    const int64_t direct = count_of(cpu::Path::kDirect);
    Geometry less = large;
    less.width.in = --less.width.out;
    compare<T>(Op::kForward, less, serially());
    check(count_of(cpu::Path::kDirectNonTemporal) == before, "less than 32 MB");
    compare<T>(Op::kForward, large, serially());
    check(count_of(cpu::Path::kDirectNonTemporal) - before ==
              (count_of(cpu::Path::kDirect) - direct) / 2,
          "32 MB");
    compare<T>(Op::kFilterGrad, large, serially());
    compare<T>(Op::kForward, {Layout::kNHWC,
                              1,
                              4096 / static_cast<int64_t>(sizeof(T)),
                              1,
                              {2, 2, 1, 1, 1, 0},
                              {9, 9, 3, 1, 1, 1}});
  });
}

// Channels are taken from the last where loads would meet, 4 KB apart, what was just stored: with
// one of the offsets, whatever multiples of 64 the tensors lie at.
TF_DWBP_TEST(results_a_little_ahead) {
  for_each_type([](auto t) {
    using T = decltype(t);
    const int64_t element = sizeof(T);
    const Axis axis{5, 5, 3, 1, 1, 1};
    for (const int64_t bytes : {16, 80}) {
      How how = as_asked();
      how.offsets.result = bytes / element;
      compare<T>(Op::kForward, {Layout::kNHWC, 1, 128 / element, 1, axis, axis}, how);
    }
  });
}

TF_DWBP_LAST_TEST(every_kernel_and_path_was_run) {
  int64_t kernels = 0;
  for (const KernelCount& count : kernel_counts()) {
    ++kernels;
    check(count.runs > 0, "no test runs " + count.name);
  }
  for (int i = 0; i < static_cast<int>(cpu::Path::kCount); ++i) {
    const auto path = static_cast<cpu::Path>(i);
    check(count_of(path) > 0, std::string("no test takes the path '") + name_of(path) + "'");
  }
  std::printf("%lld kernels and kinds of jobs\n", static_cast<long long>(kernels));
}

}  // namespace
}  // namespace tf_dwbp::testing
