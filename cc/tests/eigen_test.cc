// The kernel on Eigen, held against the definition. What is special about Inf, NaN and rounding is
// in special_value_test.cc, for all implementations.

#include <cfloat>
#include <cmath>
#include <string>
#include <vector>

#include "cc/tests/compare.h"
#include "cc/tests/random_problem.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace tf_dwbp::testing {
namespace {

constexpr int64_t kCases = 120;

TF_DWBP_TEST(eigen_random_calls) {
  for (int64_t number = 0; number < kCases; ++number) {
    if (!sampled()) continue;
    Random random(2, number);
    const bool large = random.one_in(10);
    const Geometry g = random_geometry(&random, large ? Budget{2e7, 2e6} : Budget{1e6, 2e5});
    if (!cpu::eigen_declines({Op::kForward, Dtype::kFloat, g}).empty()) continue;
    for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) {
      const Example example(op, g);
      for (const int64_t threads : {1, 4}) {
        How how = on_eigen(by_threads(threads));
        for (int64_t* offset : {&how.offsets.a, &how.offsets.b, &how.offsets.result}) {
          *offset = random.one_in(2) ? 0 : random.between(1, 31);
        }
        compare<Half>(example, how);
        compare<Bfloat16>(example, how);
        compare<float>(example, how);
        compare<double>(example, how);
      }
    }
  }
}

// More threads than were planned for, and fewer.
TF_DWBP_TEST(eigen_any_number_of_threads) {
  const Axis axis{20, 20, 3, 1, 1, 1};
  const Geometry g{Layout::kNHWC, 3, 20, 1, axis, axis};
  for (const int64_t workers : {1, 2, 7})
    for (const int64_t threads : {1, 2, 8}) {
      compare<float>(g, on_eigen({workers, shared_pool().parallel(threads)}));
    }
}

TF_DWBP_TEST(eigen_takes_what_has_products) {
  const Axis axis{4, 4, 3, 1, 1, 1};
  const auto declines = [&](int64_t batch) {
    const Geometry g{Layout::kNHWC, batch, 5, 2, axis, axis};
    return cpu::eigen_declines({Op::kForward, Dtype::kFloat, g});
  };
  check(declines(1).empty(), "eigen takes a call with products");
  check(!declines(0).empty(), "eigen leaves a call without products to others");
}

TF_DWBP_TEST(eigen_describes_its_plan) {
  const Axis axis{4, 4, 3, 1, 1, 1};
  const auto told = [&](Dtype dtype) {
    const conv::Problem problem{Op::kForward, dtype, {Layout::kNHWC, 2, 8, 1, axis, axis}};
    return cpu::plan_eigen(problem, 1)->describe();
  };
  check(told(Dtype::kFloat) ==
            "straight from the tensor, 4 columns x 8 channels at a time; 2 items: 1 blocks of "
            "channels x 2 of images x 1 of rows",
        "a plan without copies: " + told(Dtype::kFloat));
  check(told(Dtype::kHalf).find("by a packed tile, ") == 0, "a plan with copies");
}

// Steps that are larger than what they step through, where products of such steps and the sizes of
// a tensor would pass 64 bits; and taps that meet nothing.
TF_DWBP_TEST(eigen_huge_steps) {
  constexpr int64_t kHuge = 2147483647;
  for (const Axis& axis :
       {Axis{7, 1, 3, kHuge, 1, 0}, Axis{7, 2, 3, kHuge, kHuge, kHuge},
        Axis{7, 7, 3, 1, kHuge, kHuge}, Axis{9, 2, 30, 25, 1, 23}, Axis{3, 9, 4, 1, 2, 6},
        Axis{1, 3, 1, 40, 1, 40}, Axis{5, 8, 2, kHuge - 1, kHuge, 7 * (kHuge - 1)}}) {
    const Axis plain{6, 6, 3, 1, 1, 1};
    for (const int64_t channels : {1, 3, 16, 70}) {
      compare_all({Layout::kNHWC, 2, channels, 1, axis, plain}, on_eigen(serially()));
      compare_all({Layout::kNHWC, 2, channels, 2, plain, axis}, on_eigen(serially()));
      compare_all({Layout::kNHWC, 2, channels, 1, axis, axis}, on_eigen(serially()));
    }
  }
}

template <typename T>
std::vector<T> fractions(int64_t elements, int64_t seed) {
  Random random(seed, elements);
  std::vector<T> values(elements);
  for (T& value : values) value = static_cast<T>(random.between(-1000000, 1000000)) / T{3000017};
  return values;
}

// Numbers whose sums are rounded, in an order that threads must not change.
template <typename T>
void check_threads(const Geometry& g) {
  for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) {
    const auto [first, second] = operands_of(op);
    const std::vector<T> a = fractions<T>(elements_of(first, g), 1);
    const std::vector<T> b = fractions<T>(elements_of(second, g), 2);
    const std::vector<T> one = call<T>(op, g, a, b, on_eigen(serially()));
    for (const int64_t threads : {2, 4, 7}) {
      const bool same = same_bits(one, call<T>(op, g, a, b, on_eigen(by_threads(threads))));
      check(same, describe(op, g) + ": other bits from " + std::to_string(threads) + " threads");
    }
  }
}

TF_DWBP_TEST(eigen_bits_of_any_number_of_threads) {
  const Axis axis{40, 40, 3, 1, 1, 1}, strided{41, 21, 5, 2, 1, 2};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    check_threads<float>({layout, 5, 8, 1, axis, axis});
    check_threads<double>({layout, 3, 3, 2, axis, strided});
    check_threads<float>({layout, 2, 70, 1, strided, strided});
  }
}

// A large term, and small ones in other visits, each of which a plain sum of floats would lose.
TF_DWBP_TEST(eigen_adds_with_compensation) {
  const Axis axis{256, 256, 1, 1, 1, 0};
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    const Geometry g{layout, 1, 4, 1, axis, axis};
    const std::vector<float> out(g.output_elements(), 1);
    std::vector<float> in(g.input_elements(), 0);
    const auto set = [&](int64_t y, int64_t x, float value) {
      for (int64_t c = 0; c < 4; ++c) in[offset(layout, 0, y, x, c, 256, 256, 4)] = value;
    };
    constexpr float kLarge = 1 << 24;
    set(0, 0, kLarge);
    for (int64_t y = 5; y < 256; y += 8)
      for (int64_t x = 0; x < 256; x += 64) set(y, x, 1);
    for (const float sum : call<float>(Op::kFilterGrad, g, in, out, on_eigen(serially()))) {
      check(std::abs(sum - (kLarge + 128)) <= 2, "a sum of large and small terms");
    }
  }
}

#if defined(__SSE__)
// Also where the calling thread would flush them to zero.
TF_DWBP_TEST(eigen_keeps_denormals) {
  const Axis one{1, 1, 1, 1, 1, 0};
  const Geometry g{Layout::kNHWC, 1, 8, 1, one, one};
  const std::vector<float> ones(8, 1.0f), small(8, FLT_MIN / 4);
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);
  std::vector<std::vector<float>> results;
  for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) {
    results.push_back(call<float>(op, g, ones, small, on_eigen(serially())));
  }
  const bool flushes = (_mm_getcsr() & 0x8040) == 0x8040;
  _mm_setcsr(saved);
  check(flushes, "the caller's mode is as before");
  for (const std::vector<float>& result : results) {
    check(same_bits(result, small), "a denormal is kept");
  }
}
#endif

}  // namespace
}  // namespace tf_dwbp::testing
