// The CPU kernels against the definition, written out: over every small geometry, in all types
// and layouts, for every instruction set that this machine has (TF_DWBP_CPU_ISA). Buffers are
// exactly as large as the tensors, so that a sanitizer sees any access beyond them.

#include "cc/cpu/depthwise.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "cc/cpu/target.h"
#include "cc/tests/check.h"
#include "cc/tests/definition.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Axis;
using conv::Geometry;
using conv::Layout;
using conv::Op;
using testing::by_definition;
using testing::check;
using testing::elements_of;
using testing::from_int;
using testing::offset;
using testing::pattern;
using testing::same;

const Parallel serially{1, nullptr};

// Three threads, for the least of work.
class ThreeThreads {
 public:
  ~ThreeThreads() {
    for (std::thread& thread : threads_) thread.join();
  }
  Parallel parallel() {
    return {3, [this](std::function<void()> function) { threads_.emplace_back(function); }, 0};
  }

 private:
  std::vector<std::thread> threads_;
};

// Calls the op with a workspace of just the bytes that it asks for.
template <typename T>
std::vector<T> call(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b,
                    const Parallel& parallel = serially) {
  std::vector<T> result(elements_of(result_of(op), g), from_int<T>(77));
  void* workspace =
      std::aligned_alloc(64, (workspace_bytes<T>(op, g, parallel.threads) + 63) / 64 * 64);
  run<T>(op, g, parallel.threads, a.data(), b.data(), result.data(), workspace, parallel);
  std::free(workspace);
  return result;
}

template <typename T>
void compare(Op op, const Geometry& g, const Parallel& parallel) {
  const bool from_input = op != Op::kInputGrad, from_filter = op != Op::kFilterGrad;
  const std::vector<int> a = pattern(from_input ? g.input_elements() : g.filter_elements(), 1);
  const std::vector<int> b =
      pattern(from_input && from_filter ? g.filter_elements() : g.output_elements(), 2);
  std::vector<T> a_t(a.size()), b_t(b.size());
  std::transform(a.begin(), a.end(), a_t.begin(), from_int<T>);
  std::transform(b.begin(), b.end(), b_t.begin(), from_int<T>);
  const std::vector<T> result = call<T>(op, g, a_t, b_t, parallel);

  const std::vector<int> expected = by_definition(op, g, a, b);
  bool equal = true;
  for (size_t i = 0; i < result.size(); ++i) equal &= same(result[i], from_int<T>(expected[i]));
  check(equal, testing::describe(op, g) + ", " + std::to_string(sizeof(T)) + " bytes");
}

template <typename T>
void compare(const Geometry& g, const Parallel& parallel) {
  for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) compare<T>(op, g, parallel);
}

void compare_all(Geometry g, const Parallel& parallel = serially) {
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    g.layout = layout;
    compare<Half>(g, parallel);
    compare<Bfloat16>(g, parallel);
    compare<float>(g, parallel);
    compare<double>(g, parallel);
  }
}

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
  const Axis few{3, 3, 2, 1, 1, 0};
  for (int64_t width = 1; width <= 31; ++width)
    for (int64_t filter = 1; filter <= 9; ++filter) {
      if (!testing::sampled()) continue;
      const int64_t dilation = width % 3 + 1;
      compare_all({Layout::kNHWC, 1, 17, 1, few, {width, width, filter, 1, dilation, filter / 2}});
      compare_all({Layout::kNHWC, 1, 16, 1, {width, width, filter, 1, dilation, filter / 2}, few});
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

// Rows of a window are a ring; dilated rows of the result need what others skipped.
TF_DWBP_TEST(windows_are_used_again) {
  for (int64_t dilation : {1, 2, 3})
    for (int64_t channels : {1, 16, 21})
      for (int64_t multiplier : {2, 4, 5}) {
        const Axis tall{40, 40, 5, 1, dilation, 2 * dilation};
        const Axis strided{40, 20, 5, 2, dilation, 3};
        const Axis wide{60, 60, 5, 1, 1, 2};
        compare_all({Layout::kNHWC, 1, channels, multiplier, tall, wide});
        compare_all({Layout::kNHWC, 1, channels, multiplier, strided, wide});
      }
}

// Windows that are not held, but loaded row by row.
TF_DWBP_TEST(huge_windows) {
  const Axis axis{3, 3, 3, 1, 1, 1};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    compare<float>({layout, 1, 2, 4000, axis, {50, 50, 3, 1, 1, 1}}, serially);
    compare<double>({layout, 1, 3, 3000, axis, {60, 30, 3, 2, 1, 1}}, serially);
    compare<float>({layout, 1, 2, 40, {40, 40, 39, 1, 1, 19}, {128, 128, 2, 1, 1, 0}}, serially);
  }
}

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
      std::vector<float> workspace(workspace_bytes<float>(Op::kInputGrad, g, 1) / sizeof(float));
      for (int64_t ahead = 0; ahead < 4096; ahead += 64) {
        std::vector<float> memory(8192 + ahead / sizeof(float) + expected.size(), 77);
        std::copy(b.begin(), b.end(), memory.begin());
        float* const result = memory.data() + memory.size() - expected.size();
        run<float>(Op::kInputGrad, g, 1, filter.data(), memory.data(), result, workspace.data(),
                   serially);
        check(std::equal(expected.begin(), expected.end(), result),
              std::to_string(channels) + " channels, " + std::to_string(ahead) + " bytes ahead");
      }
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

// Results that are asked for ahead, written past the caches, or over a stage, since their columns
// are 4 KB apart.
TF_DWBP_TEST(large_results) {
  const Axis three{3, 3, 3, 1, 1, 1};
  ThreeThreads threads;
  for (const int64_t channels : {2048, 2080, 2060}) {
    compare<float>({Layout::kNHWC, 1, channels, 1, three, {9, 9, 3, 1, 1, 1}}, serially);
    compare<Half>({Layout::kNHWC, 1, channels, 1, three, {9, 9, 3, 1, 1, 1}}, serially);
    compare<double>({Layout::kNHWC, 1, channels, 1, three, {9, 5, 3, 2, 1, 1}}, serially);
  }
  compare_all({Layout::kNHWC, 1, 40, 1, three, {300, 300, 3, 1, 128, 128}});
  for (const int64_t channels : {128, 130, 1024}) {
    const int64_t width = 80 * 1024 / channels;
    compare<float>(
        {Layout::kNHWC, 1, channels, 1, {128, 64, 3, 2, 1, 1}, {width, width, 3, 1, 1, 1}},
        threads.parallel());
    compare<Bfloat16>(
        {Layout::kNHWC, 2, channels, 1, {128, 128, 3, 1, 2, 2}, {width, width, 3, 1, 1, 1}},
        threads.parallel());
  }
}

// What lies outside takes no part: an Inf or NaN in the filter stays with the pixels that it met.
template <typename T>
void check_confined(Layout layout, int64_t channels, int64_t multiplier, T bad) {
  const Axis axis{9, 9, 3, 1, 1, 1};
  const Geometry g{layout, 1, channels, multiplier, axis, axis};
  std::vector<T> filter(g.filter_elements(), from_int<T>(1));
  const std::vector<T> out(g.output_elements(), from_int<T>(1));
  // Tap (0, 0) of all channels reaches all rows and columns but the last.
  for (int64_t c = 0; c < g.out_channels(); ++c) filter[c] = bad;
  const std::vector<T> grad = call<T>(Op::kInputGrad, g, filter, out);
  const std::vector<T> in(g.input_elements(), from_int<T>(1));
  const std::vector<T> forward = call<T>(Op::kForward, g, in, filter);
  bool right = true;
  for (int64_t y = 0; y < 9; ++y)
    for (int64_t x = 0; x < 9; ++x)
      for (int64_t c = 0; c < channels; ++c) {
        const bool met = y < 8 && x < 8;
        const int rows = y == 0 || y == 8 ? 2 : 3, columns = x == 0 || x == 8 ? 2 : 3;
        const T value = grad[offset(layout, 0, y, x, c, 9, 9, channels)];
        right &= met ? !same(value, value) || same(value, bad)
                     : same(value, from_int<T>(rows * columns * static_cast<int>(multiplier)));
        // In the forward op the tap reaches all rows and columns but the first.
        const bool reached = y > 0 && x > 0;
        for (int64_t m = 0; m < multiplier; ++m) {
          const T sum =
              forward[offset(layout, 0, y, x, c * multiplier + m, 9, 9, channels * multiplier)];
          right &=
              reached ? !same(sum, sum) || same(sum, bad) : same(sum, from_int<T>(rows * columns));
        }
      }
  check(right, "what an infinite or NaN filter touches");
}

// Likewise one of out_backprop, in the first pixel: taps link it to the input but for those that
// reach beyond.
template <typename T>
void check_confined_out(Layout layout, int64_t channels, int64_t multiplier, T bad) {
  for (const int64_t size : {4, 9, 40}) {
    const Axis axis{size, size, 3, 1, 1, 1};
    const Geometry g{layout, 2, channels, multiplier, axis, axis};
    const int64_t all = g.out_channels();
    const std::vector<T> in(g.input_elements(), from_int<T>(1));
    std::vector<T> out(g.output_elements(), from_int<T>(0));
    for (int64_t c = 0; c < all; ++c) out[offset(layout, 1, 0, 0, c, size, size, all)] = bad;
    const std::vector<T> grad = call<T>(Op::kFilterGrad, g, in, out);
    bool right = true;
    for (int64_t tap = 0; tap < 9; ++tap)
      for (int64_t c = 0; c < all; ++c) {
        const T value = grad[tap * all + c];
        const bool met = tap >= 3 && tap % 3 > 0;
        right &= met ? !same(value, value) || same(value, bad) : same(value, from_int<T>(0));
      }
    check(right, "what an infinite or NaN out_backprop touches");
  }
}

TF_DWBP_TEST(operands_that_are_not_finite) {
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
    for (const int64_t channels : {1, 16, 21})
      for (const int64_t multiplier : {1, 2}) {
        for (const float bad : {INFINITY, NAN}) {
          check_confined<float>(layout, channels, multiplier, bad);
          check_confined<double>(layout, channels, multiplier, bad);
          check_confined_out<float>(layout, channels, multiplier, bad);
          check_confined_out<double>(layout, channels, multiplier, bad);
        }
        check_confined<Half>(layout, channels, multiplier, Half{0x7c00});
        check_confined<Bfloat16>(layout, channels, multiplier, Bfloat16{0x7f80});
        check_confined_out<Half>(layout, channels, multiplier, Half{0x7c00});
        check_confined_out<Bfloat16>(layout, channels, multiplier, Bfloat16{0x7f80});
      }
}

// Visits that end within an image, go on in the next, and are one row of many columns; parts.
TF_DWBP_TEST(visits_have_ends) {
  const Axis seven{7, 7, 3, 1, 1, 1}, tall{50, 25, 5, 2, 1, 2}, long_{600, 600, 3, 1, 2, 2};
  ThreeThreads threads;
  for (const int64_t channels : {3, 16, 40})
    for (const int64_t batch : {1, 2, 11, 40}) {
      compare<float>(Op::kFilterGrad, {Layout::kNHWC, batch, channels, 1, seven, seven}, serially);
      compare<Half>(Op::kFilterGrad, {Layout::kNCHW, batch, channels, 1, seven, seven}, serially);
      compare<Bfloat16>(Op::kFilterGrad, {Layout::kNHWC, batch, channels, 2, tall, seven},
                        threads.parallel());
      compare<double>(Op::kFilterGrad, {Layout::kNCHW, batch, channels, 1, tall, seven}, serially);
      if (batch > 2) continue;
      compare<float>(Op::kFilterGrad, {Layout::kNHWC, batch, channels, 1, seven, long_}, serially);
      compare<float>(Op::kFilterGrad, {Layout::kNCHW, batch, channels, 1, seven, long_}, serially);
    }
}

// A million terms that are no sums of powers of two: as exact as a few.
TF_DWBP_TEST(long_sums_lose_nothing) {
  const Axis axis{1024, 1024, 1, 1, 1, 0};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
    for (const int64_t channels : {1, 16}) {
      const Geometry g{layout, 1, channels, 1, axis, axis};
      const float value = 0.1f;
      const std::vector<float> in(g.input_elements(), value), out(g.output_elements(), value);
      const double exact = static_cast<double>(value) * value * (1 << 20);
      for (const float sum : call<float>(Op::kFilterGrad, g, in, out)) {
        check(std::abs(sum - exact) <= 4e-6 * exact, "a long sum");
      }
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
  ThreeThreads three;
  compare_all({Layout::kNHWC, 1, 20, 1, axis, axis}, three.parallel());
  compare_all({Layout::kNHWC, 3, 5, 2, axis, axis}, three.parallel());
}

TF_DWBP_TEST(floats_become_halves_by_rounding_to_even) {
  // Through the float path of a 1x1 filter: half(x) * 1 for every half, and ties by sums.
  const Axis one{1, 1, 1, 1, 1, 0};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    const Geometry g{layout, 1, 65536, 1, one, one};
    std::vector<Half> filter(65536, Half{0x3c00}), out(65536);
    for (int i = 0; i < 65536; ++i) out[i].bits = static_cast<uint16_t>(i);
    const std::vector<Half> grad = call<Half>(Op::kInputGrad, g, filter, out);
    bool equal = true;
    for (int i = 0; i < 65536; ++i) {
      const bool nan = (i & 0x7fff) > 0x7c00;
      equal &= nan ? (grad[i].bits & 0x7fff) > 0x7c00 : same(grad[i], out[i]);
    }
    check(equal, "every half survives");
  }
  // 2048 + 1 and 2050 + 1 lie between two halves each; 65504 + 16 is a tie with infinity.
  struct Row {
    uint16_t a, b, sum;
  };
  for (const Row& row :
       {Row{0x6800, 0x3c00, 0x6800}, Row{0x6801, 0x3c00, 0x6802}, Row{0x7bff, 0x4c00, 0x7c00},
        Row{0x7bff, 0x4a00, 0x7bff}, Row{0x0001, 0x0001, 0x0002}, Row{0x0400, 0x8001, 0x03ff}}) {
    for (const int64_t channels : {1, 40}) {
      const Geometry g{Layout::kNHWC, 1, channels, 2, one, one};
      std::vector<Half> filter(2 * channels, Half{0x3c00}), out;
      for (int64_t c = 0; c < channels; ++c) {
        out.push_back({row.a});
        out.push_back({row.b});
      }
      for (const Half x : call<Half>(Op::kInputGrad, g, filter, out))
        check(x.bits == row.sum, "half sum");
    }
  }
}

TF_DWBP_TEST(floats_become_bfloat16s_by_rounding_to_even) {
  // 256 + 1 and 258 + 1 lie between two each; the largest + half a step is a tie with infinity.
  const Axis one{1, 1, 1, 1, 1, 0}, two{1, 2, 2, 1, 1, 1};
  struct Row {
    uint16_t a, b, sum;
  };
  for (const Row& row :
       {Row{0x4380, 0x3f80, 0x4380}, Row{0x4381, 0x3f80, 0x4382}, Row{0xc381, 0xbf80, 0xc382},
        Row{0x7f7f, 0x7b00, 0x7f80}, Row{0x7f7f, 0x7a80, 0x7f7f}, Row{0x0001, 0x0001, 0x0002},
        Row{0x0080, 0x8001, 0x007f}, Row{0x7f80, 0xff80, 0x7fc0}}) {
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
      for (const int64_t channels : {1, 16, 40}) {
        const Geometry g{layout, 1, channels, 1, one, two};
        std::vector<Bfloat16> filter(2 * channels, Bfloat16{0x3f80}), out(2 * channels);
        for (int64_t c = 0; c < channels; ++c) {
          out[offset(layout, 0, 0, 0, c, 1, 2, channels)].bits = row.a;
          out[offset(layout, 0, 0, 1, c, 1, 2, channels)].bits = row.b;
        }
        for (const Bfloat16 x : call<Bfloat16>(Op::kInputGrad, g, filter, out))
          check((x.bits & 0x7fff) == (row.sum & 0x7fff), "bfloat16 sum");
      }
  }
}

}  // namespace
}  // namespace tf_dwbp::cpu
