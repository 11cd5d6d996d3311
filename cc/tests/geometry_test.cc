// The CPU kernels over every small geometry, and at the ends of all that they cut work into.

#include "cc/tests/compare.h"

namespace tf_dwbp::testing {
namespace {

TF_DWBP_TEST(every_small_geometry) {
  for (int64_t in : {1, 2, 5})
    for (int64_t filter : {1, 2, 3, 4})
      for (int64_t stride : {1, 2, 3})
        for (int64_t dilation : {1, 2, 3})
          for (int64_t pad : {0, 1, 4})
            for (int64_t out : {0, 1, 3}) {
              if (!testing::sampled()) continue;
              const Axis axis{in, out, filter, stride, dilation, pad};
              const Axis other{7, 6, 3, 2, 1, 2};
              compare_all({Layout::kNHWC, 1, 3, 1, axis, other});
              compare_all({Layout::kNHWC, 2, 2, 2, other, axis});
              compare_all({Layout::kNHWC, 1, 9, 1, axis, axis});
            }
}

TF_DWBP_TEST(channels_fill_vectors_and_leave_remainders) {
  const Axis axis{5, 5, 3, 1, 1, 1};
  for (int64_t channels = 1; channels <= 70; ++channels) {
    compare_all({Layout::kNHWC, 1, channels, 1, axis, axis});
    if (channels <= 20) compare_all({Layout::kNHWC, 1, channels, 3, axis, axis});
  }
}

TF_DWBP_TEST(blocks_have_ends) {
  const Axis row{1, 1, 1, 1, 1, 0};
  compare_all({Layout::kNHWC, 1, 1, 1, row, {300, 300, 3, 1, 2, 2}});    // tiles of pixels
  compare_all({Layout::kNHWC, 1, 1, 1, row, {2500, 1250, 2, 2, 1, 0}});  // strips
  compare_all({Layout::kNHWC, 1, 2, 600, row, {3, 3, 2, 1, 1, 0}});      // sums of a multiplier
  compare_all({Layout::kNHWC, 1, 150, 7, row, {3, 3, 2, 1, 1, 0}});
  compare_all({Layout::kNHWC, 1, 1000, 1, row, {2, 2, 2, 1, 1, 0}});   // blocks of channels
  compare_all({Layout::kNHWC, 1, 2, 1, {100, 100, 3, 1, 1, 1}, row});  // blocks of rows
}

// Widths that tiles divide and don't, taps that reach every border and none, each number of taps.
TF_DWBP_TEST(tiles_have_ends) {
  const Axis few_channels{3, 3, 2, 1, 1, 0};
  for (int64_t width = 1; width <= 31; ++width)
    for (int64_t filter = 1; filter <= 9; ++filter) {
      if (!testing::sampled()) continue;
      const int64_t dilation = width % 3 + 1;
      compare_all(
          {Layout::kNHWC, 1, 17, 1, few_channels, {width, width, filter, 1, dilation, filter / 2}});
      compare_all(
          {Layout::kNHWC, 1, 16, 1, {width, width, filter, 1, dilation, filter / 2}, few_channels});
      compare_all({Layout::kNHWC,
                   1,
                   19,
                   1,
                   {width, width / 2, filter, 2, 1, 1},
                   {width, width / 2 + 1, filter, 2, 1, filter - 1}});
    }
  for (int64_t dilation : {2, 3, 5, 8, 40})
    for (int64_t stride : {1, 2, 3}) {
      const Axis axis{37, 40 / stride, 3, stride, dilation, dilation};
      compare_all({Layout::kNHWC, 1, 16, 1, axis, axis});
      compare_all({Layout::kNHWC, 2, 3, 4, axis, axis});
    }
}

// Several images share a vector, and the last vector is not full.
TF_DWBP_TEST(few_channels) {
  const Axis h{6, 6, 3, 1, 1, 1}, w{19, 10, 3, 2, 1, 1};
  for (int64_t channels = 1; channels <= 9; ++channels)
    for (int64_t batch : {1, 2, 5, 17})
      for (int64_t multiplier : {1, 2, 3}) {
        compare_all({Layout::kNHWC, batch, channels, multiplier, h, w});
      }
}

TF_DWBP_TEST(empty_tensors) {
  const Axis axis{3, 3, 3, 1, 1, 1};
  compare_all({Layout::kNHWC, 0, 2, 1, axis, axis});
  compare_all({Layout::kNHWC, 2, 0, 1, axis, axis});
  compare_all({Layout::kNHWC, 2, 2, 0, axis, axis});
  compare_all({Layout::kNHWC, 2, 2, 1, {0, 0, 3, 1, 1, 1}, axis});
  compare_all({Layout::kNHWC, 2, 2, 1, axis, {3, 0, 5, 1, 1, 0}});
}

TF_DWBP_TEST(threads_share_the_work) {
  const Axis axis{30, 15, 3, 2, 1, 1};
  compare_all({Layout::kNHWC, 1, 20, 1, axis, axis}, by_threads(3));
  compare_all({Layout::kNHWC, 3, 5, 2, axis, axis}, by_threads(3));
}

}  // namespace
}  // namespace tf_dwbp::testing
