// The GPU kernels for strips in NHWC, emulated: what a block gets of the tensors, and calls whose
// blocks are cut in each way.

#include <algorithm>
#include <string>

#include "cc/gpu/strip_tiling_nhwc.h"
#include "cc/tests/gpu_compare.h"
#include "cc/tests/random_problem.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;
using testing::Random;

constexpr int64_t kSeed = 9;

// All of the result has a thread, and all that a block stages has its place.
void check_cut(const Problem& problem, const Windows& w, const StripCutNhwc& cut) {
  const Geometry& g = problem.geometry;
  const Configuration& c = w.configuration;
  const std::string text = to_text(problem);
  const int bytes = static_cast<int>(bytes_of(problem.dtype));
  const int columns = cut.groups * strip_columns(bytes);
  check(1 <= cut.groups && cut.groups <= kStripGroups, text + ": groups");
  check(cut.tiles == ceil_div(w.width.positions(), columns), text + ": tiles");
  check(cut.channel_blocks == ceil_div(g.channels, kWarp), text + ": channels");
  check(cut.rows >= 1 && cut.bands == ceil_div(w.height.result, cut.rows), text + ": bands");
  check(cut.images >= 1 && cut.slices == ceil_div(g.batch, cut.images), text + ": images");
  // The last column of a block meets the last position that is staged.
  int met = 0;
  for (int source = 0; source < 200; ++source) {
    const int tap = c.result_step * (columns - 1) + c.taps - 1 - c.source_step * source;
    if (0 <= tap && tap < c.taps) met = source + 1;
  }
  check(cut.source_columns >= met, text + ": columns");
  const int chunk = chunk_rows(c) * cut.source_columns * kWarp;
  check(cut.chunk_elements >= chunk && cut.shared_bytes >= 2 * cut.chunk_elements * bytes &&
            cut.shared_bytes <= kMostSharedBytes,
        text + ": shared memory");
}

TF_DWBP_TEST(what_strips_take_in_nhwc_has_its_place) {
  constexpr Device kDevices[] = {
      {72, 64 << 10, 0}, {84, 100 << 10, 1 << 10}, {132, 228 << 10, 1 << 10}};
  int taken = 0;
  for (int64_t number = 0; number < 1000; ++number) {
    Random random(kSeed, number);
    const int64_t taps = random.any_of<int64_t>({5, 7}), stride = random.between(1, 2);
    const auto axis = [&](int64_t most) {
      const int64_t in = random.log_between(1, most);
      if (random.one_in(2)) return same_padded(in, taps, stride);
      const int64_t pad = random.log_between(1, 40) - 1;
      return Axis{in, random.between(1, ceil_div(in + pad, stride) + 9), taps, stride, 1, pad};
    };
    const Geometry g{
        Layout::kNHWC, random.log_between(1, 300), 8 * random.log_between(1, 200), 1, axis(3000),
        axis(300)};
    for (const Op op : {Op::kForward, Op::kInputGrad})
      for (const Dtype dtype : kDtypes) {
        const Problem problem{op, dtype, g};
        if (!named("strips").declines(problem).empty()) continue;
        Windows w;
        check(find_windows(problem, &w).empty(), "windows");
        ++taken;
        for (const Device& device : kDevices) {
          check_cut(problem, w, cut_gather_nhwc(g, w, device, dtype));
        }
      }
  }
  check(taken > 4000, std::to_string(taken) + " were taken");
}

std::string why_not(const Axis& axis, int64_t channels, Dtype dtype = Dtype::kHalf,
                    Op op = Op::kForward) {
  return named("strips").declines({op, dtype, {Layout::kNHWC, 2, channels, 1, axis, axis}});
}

TF_DWBP_TEST(strips_say_why_they_decline_nhwc) {
  const Axis axis = same_padded(9, 5, 1);
  check(why_not(axis, 24).empty(), "plain");
  check(why_not(axis, 28, Dtype::kFloat).empty(), "whole vectors of floats");
  check(why_not(axis, 28) == "28 channels are no multiple of 8", "no whole vectors");
  check(why_not(axis, 16) == "16 channels leave most of a warp idle", "few channels");
  check(why_not(same_padded(9, 3, 1), 32) == "tiles are as fast for 3x3 taps", "3x3");
  check(why_not(same_padded(9, 5, 1, 2), 32) == "its windows are dilated", "dilated");
  check(why_not(axis, 32, Dtype::kHalf, Op::kFilterGrad) == "it has strips in NCHW alone",
        "filter gradient");
  check(why_not(same_padded(1 << 13, 5, 1), 32) == "an image has more elements than 32 bits count",
        "large images");
}

TF_DWBP_TEST(strips_of_any_width_in_nhwc) {
  for (const int64_t columns : {1, 3, 4, 5, 8, 31, 33, 66})
    for (const int64_t stride : {1, 2})
      for (const int64_t filter : {5, 7}) {
        compare_all({Layout::kNHWC, 2, 24, 1, same_padded(4, filter, stride),
                     same_padded(columns, filter, stride)});
        compare_all({Layout::kNHWC, 1, 40, 1, same_padded(columns, filter, stride),
                     same_padded(2, filter, stride)});
      }
}

// Few multiprocessors are given several images a block, many of them bands of an image.
TF_DWBP_TEST(images_and_bands_in_nhwc) {
  struct Try {
    Device device;
    int64_t batch;
    int64_t height;
  };
  int64_t images = 0, bands = 0;
  for (const Try& t : {Try{{1, 164 << 10, 1 << 10}, 45, 5}, Try{{500, 64 << 10, 0}, 2, 29}}) {
    const Device before = state().device;
    state().device = t.device;
    for (const int64_t stride : {1, 2}) {
      const Geometry g{Layout::kNHWC,
                       t.batch,
                       24,
                       1,
                       same_padded(t.height, 5, stride),
                       same_padded(7, 5, stride)};
      compare_all(g);
      for (const Op op : {Op::kForward, Op::kInputGrad}) {
        Windows w;
        check(find_windows({op, Dtype::kFloat, g}, &w).empty(), "windows");
        const StripCutNhwc cut = cut_gather_nhwc(g, w, t.device, Dtype::kFloat);
        images = std::max(images, cut.images);
        bands = std::max(bands, cut.bands);
      }
    }
    state().device = before;
  }
  check(images > 1, "a block takes several images");
  check(bands > 2, "an image falls into bands");
}

// Paddings beyond the filter.
TF_DWBP_TEST(strips_of_wide_paddings_in_nhwc) {
  for (const int64_t filter : {5, 7})
    for (const int64_t stride : {1, 2})
      for (const int64_t pad : {8, 9, 31})
        for (const int64_t out : {3, 40}) {
          const Axis padded{9, out, filter, stride, 1, pad};
          const Axis plain = same_padded(6, filter, stride);
          compare_all({Layout::kNHWC, 1, 24, 1, padded, plain});
          compare_all({Layout::kNHWC, 2, 24, 1, plain, padded});
        }
}

// Tensors that begin between vectors.
TF_DWBP_TEST(strips_begin_anywhere_in_nhwc) {
  for (int shift = 0; shift < 8; ++shift)
    for (const int64_t stride : {1, 2}) {
      compare_all({Layout::kNHWC, 2, 24, 1, same_padded(5, 5, stride), same_padded(7, 5, stride)},
                  shift);
    }
}

}  // namespace
}  // namespace tf_dwbp::gpu
