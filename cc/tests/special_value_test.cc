// Inf, NaN, and sums that have to be rounded.

#include <cmath>
#include <string>
#include <vector>

#include "cc/tests/compare.h"

namespace tf_dwbp::testing {
namespace {

std::vector<How> implementations() { return {as_asked(), on_eigen(as_asked())}; }

// What lies outside takes no part: an Inf or NaN in the filter stays with the pixels that it met.
template <typename T>
void check_width(int64_t width, Layout layout, int64_t channels, int64_t multiplier, T bad,
                 const How& how) {
  const Geometry g{layout, 1, channels, multiplier, {9, 9, 3, 1, 1, 1}, {width, width, 3, 1, 1, 1}};
  std::vector<T> filter(g.filter_elements(), from_int<T>(1));
  const std::vector<T> out(g.output_elements(), from_int<T>(1));
  // Tap (0, 0) of all channels reaches all rows and columns but the last.
  for (int64_t c = 0; c < g.out_channels(); ++c) filter[c] = bad;
  const std::vector<T> grad = call<T>(Op::kInputGrad, g, filter, out, how);
  const std::vector<T> in(g.input_elements(), from_int<T>(1));
  const std::vector<T> forward = call<T>(Op::kForward, g, in, filter, how);
  bool right = true;
  for (int64_t y = 0; y < 9; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c) {
        const bool met = y < 8 && x < width - 1;
        const int rows = y == 0 || y == 8 ? 2 : 3, columns = x == 0 || x == width - 1 ? 2 : 3;
        const T value = grad[offset(layout, 0, y, x, c, 9, width, channels)];
        right &= met ? !same(value, value) || same(value, bad)
                     : same(value, from_int<T>(rows * columns * static_cast<int>(multiplier)));
        // In the forward op the tap reaches all rows and columns but the first.
        const bool reached = y > 0 && x > 0;
        for (int64_t m = 0; m < multiplier; ++m) {
          const T sum =
              forward[offset(layout, 0, y, x, c * multiplier + m, 9, width, channels * multiplier)];
          right &=
              reached ? !same(sum, sum) || same(sum, bad) : same(sum, from_int<T>(rows * columns));
        }
      }
  check(right, "what an infinite or NaN filter touches");
}

// In images of two widths: each has an implementation that takes it first.
template <typename T>
void check_confined(Layout layout, int64_t channels, int64_t multiplier, T bad, const How& how) {
  for (const int64_t width : {9, 20}) check_width(width, layout, channels, multiplier, bad, how);
}

// Likewise one of out_backprop, in the first pixel: taps link it to the input but for those that
// reach beyond.
template <typename T>
void check_confined_out(Layout layout, int64_t channels, int64_t multiplier, T bad,
                        const How& how) {
  for (const int64_t size : {4, 9, 40}) {
    const Axis axis{size, size, 3, 1, 1, 1};
    const Geometry g{layout, 2, channels, multiplier, axis, axis};
    const int64_t all = g.out_channels();
    const std::vector<T> in(g.input_elements(), from_int<T>(1));
    std::vector<T> out(g.output_elements(), from_int<T>(0));
    for (int64_t c = 0; c < all; ++c) out[offset(layout, 1, 0, 0, c, size, size, all)] = bad;
    const std::vector<T> grad = call<T>(Op::kFilterGrad, g, in, out, how);
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
  for (const How& how : implementations()) {
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
      for (const int64_t channels : {1, 16, 21})
        for (const int64_t multiplier : {1, 2}) {
          for (const float bad : {INFINITY, NAN}) {
            check_confined<float>(layout, channels, multiplier, bad, how);
            check_confined<double>(layout, channels, multiplier, bad, how);
            check_confined_out<float>(layout, channels, multiplier, bad, how);
            check_confined_out<double>(layout, channels, multiplier, bad, how);
          }
          check_confined<Half>(layout, channels, multiplier, Half{0x7c00}, how);
          check_confined<Bfloat16>(layout, channels, multiplier, Bfloat16{0x7f80}, how);
          check_confined_out<Half>(layout, channels, multiplier, Half{0x7c00}, how);
          check_confined_out<Bfloat16>(layout, channels, multiplier, Bfloat16{0x7f80}, how);
        }
  }
}

// A million terms that are no sums of powers of two: as exact as a few.
TF_DWBP_TEST(long_sums_lose_nothing) {
  for (const How& how : implementations()) {
    const Axis axis{1024, 1024, 1, 1, 1, 0};
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
      for (const int64_t channels : {1, 16}) {
        const Geometry g{layout, 1, channels, 1, axis, axis};
        const float value = 0.1f;
        const std::vector<float> in(g.input_elements(), value), out(g.output_elements(), value);
        const double exact = static_cast<double>(value) * value * (1 << 20);
        for (const float sum : call<float>(Op::kFilterGrad, g, in, out, how)) {
          check(std::abs(sum - exact) <= 4e-6 * exact, "a long sum");
        }
      }
  }
}

TF_DWBP_TEST(floats_become_halves_by_rounding_to_even) {
  for (const How& how : implementations()) {
    // Through the float path of a 1x1 filter: half(x) * 1 for every half, and ties by sums.
    const Axis one{1, 1, 1, 1, 1, 0};
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
      const Geometry g{layout, 1, 65536, 1, one, one};
      std::vector<Half> filter(65536, Half{0x3c00}), out(65536);
      for (int i = 0; i < 65536; ++i) out[i].bits = static_cast<uint16_t>(i);
      const std::vector<Half> grad = call<Half>(Op::kInputGrad, g, filter, out, how);
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
        for (const Half x : call<Half>(Op::kInputGrad, g, filter, out, how))
          check(x.bits == row.sum, "half sum");
      }
    }
  }
}

TF_DWBP_TEST(floats_become_bfloat16s_by_rounding_to_even) {
  for (const How& how : implementations()) {
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
          for (const Bfloat16 x : call<Bfloat16>(Op::kInputGrad, g, filter, out, how))
            check((x.bits & 0x7fff) == (row.sum & 0x7fff), "bfloat16 sum");
        }
    }
  }
}

}  // namespace
}  // namespace tf_dwbp::testing
