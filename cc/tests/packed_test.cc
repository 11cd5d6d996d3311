// Copies of parts of tensors: that rows in them are used again, and what is too large to be copied.

#include <utility>

#include "cc/cpu/runtime/paths.h"
#include "cc/tests/compare.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

// Rows of a packed tile are a ring; dilated rows of the result need what others skipped.
TF_DWBP_TEST(rows_of_packed_tiles_are_used_again) {
  for (int64_t dilation : {1, 2, 3})
    for (int64_t channels : {1, 16, 21})
      for (int64_t multiplier : {2, 4, 5}) {
        if (!sampled()) continue;
        const Axis tall{40, 40, 5, 1, dilation, 2 * dilation};
        const Axis strided{40, 20, 5, 2, dilation, 3};
        const Axis wide{60, 60, 5, 1, 1, 2};
        compare_all({Layout::kNHWC, 1, channels, multiplier, tall, wide});
        compare_all({Layout::kNHWC, 1, channels, multiplier, strided, wide});
      }
}

// Packed tiles that are not held: the source is taken row by row.
TF_DWBP_TEST(huge_packed_tiles) {
  const Axis axis{3, 3, 3, 1, 1, 1};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    compare<float>({layout, 1, 2, 4000, axis, {50, 50, 3, 1, 1, 1}}, serially());
    compare<double>({layout, 1, 3, 3000, axis, {60, 30, 3, 2, 1, 1}}, serially());
    // Every other row gathers nothing; the last channels are the block's before, too.
    compare<float>(Op::kInputGrad, {layout, 1, 21, 400, {9, 3, 3, 2, 2, 0}, {128, 126, 3, 1, 1, 0}},
                   serially());
    compare<float>({layout, 1, 2, 40, {40, 40, 39, 1, 1, 19}, {128, 128, 2, 1, 1, 0}}, serially());
  }
}

// The same for the filter's gradient: tap by tap.
TF_DWBP_TEST(huge_filters) {
  const Axis h{301, 2, 300, 1, 1, 0}, w{600, 256, 3, 1, 172, 0};
  const Axis strided{301, 3, 299, 2, 1, 1}, shifted{600, 200, 4, 2, 172, 300};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    compare<float>(Op::kFilterGrad, {layout, 2, 3, 1, h, w});
    compare<Half>(Op::kFilterGrad, {layout, 2, 8, 2, strided, shifted});
    compare<double>(Op::kFilterGrad, {layout, 1, 17, 1, strided, w});
    compare<Bfloat16>(Op::kFilterGrad, {layout, 1, 3, 3, h, shifted});
  }
}

// Which way a call takes is counted.
TF_DWBP_TEST(images_share_vectors_where_channels_are_few) {
  const Axis axis{5, 5, 3, 1, 1, 1};
  for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad})
    for (const auto& [batch, channels] : {std::pair<int64_t, int64_t>(5, 1), {1, 1}, {5, 40}}) {
      const cpu::Path path =
          op == Op::kFilterGrad ? cpu::Path::kFilterShared : cpu::Path::kPackedShared;
      How how = serially();
      how.implementation = &implementation(op, "packed");
      const int64_t before = count_of(path);
      compare<float>(op, {Layout::kNHWC, batch, channels, 1, axis, axis}, how);
      const bool shared = batch > 1 && channels == 1;
      check(count_of(path) - before == (shared ? 1 : 0), describe(op, {}) + ", shared vectors");
    }
}

// Tap by tap, where a tap links one column, one row, or none.
TF_DWBP_TEST(taps_that_link_little) {
  const Axis one{3, 3, 3, 1, 2, 2}, none{2, 2, 3, 1, 2, 2}, point{1, 1, 3, 1, 1, 1};
  How how = serially();
  how.implementation = &implementation(Op::kFilterGrad, "tapwise");
  for (const Axis& height : {one, none, point})
    for (const Axis& width : {one, none, point}) {
      compare<float>(Op::kFilterGrad, {Layout::kNHWC, 2, 20, 1, height, width}, how);
    }
}

// Visits that end within an image, go on in the next, and are one row of many columns; parts.
TF_DWBP_TEST(visits_have_ends) {
  const Axis seven{7, 7, 3, 1, 1, 1}, tall{50, 25, 5, 2, 1, 2}, long_{600, 600, 3, 1, 2, 2};
  for (const int64_t channels : {3, 16, 40})
    for (const int64_t batch : {1, 2, 11, 40}) {
      compare<float>(Op::kFilterGrad, {Layout::kNHWC, batch, channels, 1, seven, seven},
                     serially());
      compare<Half>(Op::kFilterGrad, {Layout::kNCHW, batch, channels, 1, seven, seven}, serially());
      compare<Bfloat16>(Op::kFilterGrad, {Layout::kNHWC, batch, channels, 2, tall, seven},
                        by_threads(3));
      compare<double>(Op::kFilterGrad, {Layout::kNCHW, batch, channels, 1, tall, seven},
                      serially());
      if (batch > 2) continue;
      compare<float>(Op::kFilterGrad, {Layout::kNHWC, batch, channels, 1, seven, long_},
                     serially());
      compare<float>(Op::kFilterGrad, {Layout::kNCHW, batch, channels, 1, seven, long_},
                     serially());
    }
}

}  // namespace
}  // namespace tf_dwbp::testing
