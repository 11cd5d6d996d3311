// The GPU kernels for strips, emulated: what a block gets of the tensors, and calls whose blocks
// are cut in each way.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cc/gpu/strip_tiling.h"
#include "cc/gpu/tuning.h"
#include "cc/tests/gpu_compare.h"
#include "cc/tests/random_problem.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;
using testing::Random;

constexpr int64_t kSeed = 8;

// As configurations.h says which meet.
bool meet(const Configuration& c, const WindowAxis& axis, int result, int source) {
  const int tap = c.result_step * (result - axis.result_origin) + c.taps - 1 -
                  c.source_step * (source - axis.source_origin);
  return 0 <= tap && tap < c.taps;
}

TF_DWBP_TEST(a_band_has_the_rows_that_its_windows_meet) {
  for (const Configuration& c : kGatherConfigurations)
    for (int origin = -12; origin <= 6; ++origin)
      for (const int result_origin : {0, -1})
        for (int first = 0; first < 9; ++first)
          for (int end = first + 1; end <= 9; ++end) {
            if (result_origin != 0 && c.source_step == 1) continue;  // of odd paddings alone
            const WindowAxis axis{9, 6, result_origin, origin, 1};
            const Rows staged = rows_staged(c, axis, first, end);
            bool right = 0 <= staged.first && staged.end <= axis.source;
            for (int row = -30; row < 30; ++row) {
              bool met = false;
              for (int result = first; result < end; ++result) met |= meet(c, axis, result, row);
              right &= staged.have(row) == (met && 0 <= row && row < axis.source);
            }
            check(right, std::to_string(c.taps) + " taps from " + std::to_string(origin) +
                             ", rows " + std::to_string(first) + " to " + std::to_string(end));
          }
}

void check_lines(const StripLines& lines, int planes, int64_t elements, int bytes,
                 const std::string& text) {
  const int vector = kVectorBytes / bytes;
  // A line may begin at any element of a vector, and lines of vectors must not meet.
  check(lines.stride % vector == 0 && lines.stride >= elements + vector - 1, text + ": stride");
  check(lines.elements >= planes * lines.stride + 2 * kStripSlack, text + ": elements");
}

// All of the result has a thread, and all that a block stages has its place.
void check_cut(const Problem& problem, const Windows& w, const StripCut& cut) {
  const Geometry& g = problem.geometry;
  const std::string text = to_text(problem);
  const int bytes = static_cast<int>(bytes_of(problem.dtype));
  const bool filter_grad = problem.op == Op::kFilterGrad;
  check(cut.planes >= 1 && cut.planes * w.width.result <= cut.threads, text + ": threads");
  check(cut.threads <= kStripThreads && cut.threads % kWarp == 0, text + ": warps");
  check(cut.groups == ceil_div(g.channels, cut.planes), text + ": planes");
  check(cut.rows >= 1 && cut.bands == ceil_div(w.height.result, cut.rows), text + ": bands");
  check(cut.images >= 1 && cut.slices == ceil_div(g.batch, cut.images), text + ": images");
  int staged = 0;
  for (int64_t band = 0; band < cut.bands; ++band) {
    const int first = static_cast<int>(band) * cut.rows;
    const int end = std::min(w.height.result, first + cut.rows);
    const Rows rows = rows_staged(w.configuration, w.height, first, end);
    staged = std::max(staged, rows.end - rows.first);
  }
  check_lines(cut.source, cut.planes, int64_t{staged} * w.width.source, bytes, text);
  check_lines(cut.result, cut.planes, int64_t{cut.rows} * w.width.result, bytes, text);
  const int staged_bytes =
      (2 * cut.source.elements + (filter_grad ? 2 : 1) * cut.result.elements) * bytes;
  check(staged_bytes <= cut.shared_bytes && cut.shared_bytes <= kMostSharedBytes,
        text + ": shared memory");
  if (!filter_grad) return;
  const int64_t parts = cut.bands * cut.slices, allowed = most_parts(g, problem.dtype);
  const int64_t of_fewer_images =
      cut.bands * ceil_div(g.batch, std::max<int64_t>(1, cut.images - 1));
  check(parts <= allowed, text + ": parts");
  check(cut.images * cut.rows <= kTermsOfSum || of_fewer_images > allowed || parts == 1,
        text + ": a sum is too long");
  check(w.configuration.taps * kStripThreads * accumulator_bytes_of(problem.dtype) <=
            cut.shared_bytes,
        text + ": the threads' sums");
}

TF_DWBP_TEST(what_strips_take_has_its_place) {
  constexpr Device kDevices[] = {
      {72, 64 << 10, 0}, {84, 100 << 10, 1 << 10}, {132, 228 << 10, 1 << 10}};
  int taken = 0;
  for (int64_t number = 0; number < 1500; ++number) {
    Random random(kSeed, number);
    const int64_t taps = random.any_of<int64_t>({3, 5, 7}), stride = random.between(1, 2);
    const auto axis = [&](int64_t most) {
      const int64_t in = random.log_between(1, most);
      if (random.one_in(2)) return same_padded(in, taps, stride);
      const int64_t pad = random.log_between(1, 40) - 1;
      return Axis{in, random.between(1, ceil_div(in + pad, stride) + 9), taps, stride, 1, pad};
    };
    const Geometry g{Layout::kNCHW,
                     random.log_between(1, 300),
                     random.log_between(1, 2000),
                     1,
                     axis(number % 10 == 0 ? 3000 : 300),
                     axis(300)};
    for (const Op op : kAllOps)
      for (const Dtype dtype : kDtypes) {
        const Problem problem{op, dtype, g};
        if (!named("strips").declines(problem).empty()) continue;
        Windows w;
        check(find_windows(problem, &w).empty(), "windows");
        ++taken;
        if (op == Op::kFilterGrad) {
          check_cut(problem, w, cut_filter_grad(g, w, dtype));
          continue;
        }
        for (const Device& device : kDevices) {
          check_cut(problem, w, cut_gather(g, w, device, dtype));
        }
      }
  }
  check(taken > 9000, std::to_string(taken) + " were taken");
}

std::string why_not(Op op, const Axis& h, const Axis& w, Dtype dtype = Dtype::kFloat) {
  return named("strips").declines({op, dtype, {Layout::kNCHW, 2, 4, 1, h, w}});
}

TF_DWBP_TEST(strips_say_why_they_decline) {
  const Axis axis = same_padded(9, 3, 1);
  for (const Op op : kAllOps) {
    check(why_not(op, axis, axis).empty(), "plain");
    check(why_not(op, axis, same_padded(224, 3, 1)).empty(), "as wide as a block");
    check(why_not(op, axis, same_padded(225, 3, 1)) ==
              "a row of 225 results is more than the 224 threads of a block",
          "wider");
    const std::string half = why_not(op, same_padded(9, 3, 2), same_padded(447, 3, 2));
    check(half.empty() == (op != Op::kInputGrad), "a result of 224 columns: " + half);
    const std::string dilated = "its windows are dilated";
    check(why_not(op, axis, same_padded(9, 3, 1, 2)) == dilated, "columns");
    check(why_not(op, same_padded(9, 3, 1, 2), axis) == dilated, "rows");
    check(why_not(op, same_padded(9, 4, 1), same_padded(9, 4, 1)) == "no kernel is compiled for it",
          "taps");
    check(why_not(op, {0, 0, 3, 1, 1}, axis) == "there are no products to sum", "empty");
    // A row of the source that is far wider than the result's.
    const Axis wide =
        op == Op::kInputGrad ? Axis{20, 40000, 3, 1, 1, 20000} : Axis{40000, 20, 3, 1, 1, 0};
    check(why_not(op, axis, wide) == "a row's windows do not fit into shared memory", "wide");
  }
  const Problem finished{Op::kForward, Dtype::kFloat, {Layout::kNCHW, 2, 4, 1, axis, axis}, {true}};
  check(named("strips").declines(finished) == "its sums have an epilogue", "epilogue");
}

// One column, as many as a block has threads, and one more, which tiles take.
TF_DWBP_TEST(strips_of_any_width) {
  for (const int64_t columns : {1, 2, 5, 31, 33, 112, 113, 223, 224, 225})
    for (const int64_t stride : {1, 2})
      for (const int64_t filter : {3, 7}) {
        compare_all({Layout::kNCHW, 2, 3, 1, same_padded(4, filter, stride),
                     same_padded(columns, filter, stride)});
        compare_all({Layout::kNCHW, 1, 2, 1, same_padded(columns, filter, stride),
                     same_padded(2, filter, stride)});
      }
  compare_all({Layout::kNCHW, 1, 1, 1, same_padded(448, 3, 2), same_padded(448, 3, 2)});
}

// Planes that are larger than a block's shared memory fall into bands.
TF_DWBP_TEST(bands) {
  bool several = false;
  for (const int64_t filter : {3, 5, 7})
    for (const int64_t stride : {1, 2}) {
      const Geometry g{Layout::kNCHW,
                       2,
                       3,
                       1,
                       same_padded(101, filter, stride),
                       same_padded(99, filter, stride)};
      compare_all(g);
      for (const Op op : kAllOps) {
        Windows w;
        check(find_windows({op, Dtype::kFloat, g}, &w).empty(), "windows");
        const StripCut cut = op == Op::kFilterGrad
                                 ? cut_filter_grad(g, w, Dtype::kFloat)
                                 : cut_gather(g, w, state().device, Dtype::kFloat);
        several |= cut.bands > 2;
        check(cut.bands > 1, describe(op, g) + " is cut into bands");
      }
    }
  check(several, "there are bands between the first and the last");
}

// More images than a block takes, which takes several; also of the last planes, which are fewer.
TF_DWBP_TEST(images_and_planes) {
  for (const int64_t batch : {64, 65, 131})
    for (const int64_t channels : {1, 50}) {
      if (batch == 131 && channels > 1) continue;
      const Geometry g{Layout::kNCHW,       batch, channels, 1, same_padded(5, 3, 1),
                       same_padded(6, 3, 1)};
      compare_all(g);
    }
  for (const Device& device : {Device{1, 164 << 10, 1 << 10}, Device{500, 64 << 10, 0}}) {
    const Device before = state().device;
    state().device = device;
    compare_all({Layout::kNCHW, 70, 9, 1, same_padded(9, 5, 2), same_padded(7, 5, 2)});
    compare_all({Layout::kNCHW, 5, 60, 1, same_padded(14, 3, 1), same_padded(13, 3, 1)});
    state().device = before;
  }
}

// Paddings beyond the filter, and beyond what a strip has beside its lines.
TF_DWBP_TEST(strips_of_wide_paddings) {
  for (const int64_t filter : {3, 5, 7})
    for (const int64_t stride : {1, 2})
      for (const int64_t pad : {8, 9, 31})
        for (const int64_t in : {1, 12})
          for (const int64_t out : {3, 50}) {
            const Axis padded{in, out, filter, stride, 1, pad};
            const Axis plain = same_padded(6, filter, stride);
            compare_all({Layout::kNCHW, 1, 2, 1, padded, plain});
            compare_all({Layout::kNCHW, 2, 1, 1, plain, padded});
          }
}

// Planes of no whole vectors, in tensors that begin anywhere.
TF_DWBP_TEST(strips_begin_anywhere) {
  for (int shift = 0; shift < 8; ++shift)
    for (const int64_t stride : {1, 2}) {
      compare_all({Layout::kNCHW, 3, 5, 1, same_padded(5, 3, stride), same_padded(7, 3, stride)},
                  shift);
      compare_all({Layout::kNCHW, 2, 3, 1, same_padded(1, 3, stride), same_padded(3, 3, stride)},
                  shift);
    }
}

}  // namespace
}  // namespace tf_dwbp::gpu
