// Epilogues: activations of numbers of all exponents, and calls of every kind with all of them.

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "cc/tests/compare.h"
#include "cc/tests/planned.h"
#include "cc/tests/pool.h"
#include "cc/tests/random_problem.h"

namespace tf_dwbp::testing {
namespace {

using conv::Activation;
using conv::Epilogue;

// Numbers of all exponents and both signs, some of each, with the least and the greatest; Inf, NaN.
template <typename T>
std::vector<T> numbers(int of_exponent) {
  constexpr int kMantissa = kPrecision<T> - 1;
  constexpr bool kDouble = std::is_same_v<T, double>;
  constexpr int kExponents = kDouble ? 2048 : 256;
  using Bits = std::conditional_t<kDouble, uint64_t, uint32_t>;
  Random random(1, kExponents);
  std::vector<T> all;
  for (Bits sign = 0; sign < 2; ++sign)
    for (Bits exponent = 0; exponent < kExponents; ++exponent)
      for (int i = 0; i < of_exponent; ++i) {
        constexpr Bits kMost = (Bits{1} << kMantissa) - 1;
        const Bits mantissa = i == 0 ? 0 : i == 1 ? kMost : random.next() & kMost;
        const Bits bits = sign << (sizeof(T) * 8 - 1) | exponent << kMantissa | mantissa;
        T value;
        std::memcpy(&value, &bits, sizeof value);
        all.push_back(value);
      }
  return all;
}

template <typename T>
void compare_curve(const Epilogue& epilogue, const std::vector<T>& in, const std::vector<T>& out,
                   const std::string& by) {
  long double worst = 0;
  T at = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const long double expected = activation(epilogue, in[i]);
    if (std::isnan(expected) || std::isinf(expected)) {
      check(std::isnan(expected) ? std::isnan(out[i]) : out[i] == expected,
            by + ", not finite: " + std::to_string(in[i]) + " -> " + std::to_string(out[i]));
      continue;
    }
    long double off = std::fabs(out[i] - expected) / unit_at<T>(expected);
    off *= 4 / units_allowed<T>(epilogue, in[i]);
    if (!(off <= worst)) {
      worst = off;
      at = in[i];
    }
  }
  char text[200];
  std::snprintf(text, sizeof text, "%s: %.2Lf units off at %.17g", by.c_str(), worst,
                static_cast<double>(at));
  check(worst <= 4, text);
}

// Through a filter of ones, of one tap.
template <typename T>
void compare_curves(int of_exponent) {
  const std::vector<T> in = numbers<T>(of_exponent);
  const std::vector<T> filter(16, 1);
  const Axis row{1, 1, 1, 1, 1, 0};
  const int64_t columns = static_cast<int64_t>(in.size()) / 16;
  const Geometry g{Layout::kNHWC, 1, 16, 1, row, {columns, columns, 1, 1, 1, 0}};
  for (const char* name : {"direct", "packed", "eigen"}) {
    How how = serially();
    how.implementation = &implementation(Op::kForward, name);
    for (const Activation kind : conv::kActivations) {
      const Epilogue epilogue{false, kind, 0.2f};
      const std::vector<T> out = call<T>(Op::kForward, g, in, filter, how, epilogue);
      compare_curve(epilogue, in, out,
                    std::string(name) + ", " + name_of(kind) + ", " + type_name<T>());
    }
  }
}

TF_DWBP_TEST(activations_of_all_exponents) {
  compare_curves<float>(128);
  compare_curves<double>(16);
}

template <typename T>
void compare_epilogues(const Geometry& g, const How& asked) {
  for (const bool bias : {false, true})
    for (const Activation kind : conv::kActivations) {
      if (!sampled()) continue;
      const Example example(Op::kForward, g, {bias, kind, 0.2f});
      for (const cpu::Implementation& by : cpu::implementations(Op::kForward)) {
        if (!by.declines({Op::kForward, dtype_of(T()), g, example.epilogue}).empty()) continue;
        How how = asked;
        how.implementation = &by;
        check(solved<T>(example, how), std::string(by.name) + ": " + describe(Op::kForward, g) +
                                           ", " + type_name<T>() + ", " +
                                           to_text(example.epilogue));
      }
    }
}

void compare_types(const Geometry& g, const How& how) {
  compare_epilogues<Half>(g, how);
  compare_epilogues<Bfloat16>(g, how);
  compare_epilogues<float>(g, how);
  compare_epilogues<double>(g, how);
}

TF_DWBP_TEST(epilogues_of_calls_of_every_kind) {
  const Axis same{9, 9, 3, 1, 1, 1}, half{14, 7, 5, 2, 1, 2}, dilated{12, 12, 3, 1, 3, 3},
      apart{3, 8, 1, 1, 1, 3};
  for (const int64_t workers : {1, 4}) {
    const How how = by_threads(workers);
    for (const Layout layout : kLayouts)
      for (const int64_t channels : {1, 3, 16, 40, 70})
        for (const int64_t multiplier : {1, 2}) {
          const int64_t batch = channels == 3 ? 5 : 2;
          compare_types({layout, batch, channels, multiplier, same, half}, how);
          // With positions that gather nothing.
          compare_types({layout, batch, channels, multiplier, apart, dilated}, how);
        }
  }
}

// Chunks of channels, each with its part of the bias, the last of which overlaps.
TF_DWBP_TEST(epilogues_of_chunks_of_channels) {
  const Axis rows{2, 2, 3, 1, 1, 1}, columns{9, 9, 3, 1, 1, 1};
  for (const int64_t channels : {512, 517})
    for (const int64_t multiplier : {1, 2}) {
      compare_types({Layout::kNHWC, 1, channels, multiplier, rows, columns}, by_threads(8));
    }
}

// Summed row by row: only the last of the sums is finished.
TF_DWBP_TEST(epilogues_of_sums_of_rows) {
  const Axis tall{500, 2, 499, 1, 1, 0}, wide{160, 128, 33, 1, 1, 0}, few{2, 3, 2, 1, 1, 1};
  for (const int64_t multiplier : {1, 2}) {
    compare_types({Layout::kNHWC, 1, 5, multiplier, tall, wide}, serially());
    compare_types({Layout::kNCHW, 1, 5, multiplier, few, wide}, serially());
  }
}

TF_DWBP_TEST(epilogues_of_no_products) {
  const Axis none{0, 3, 1, 1, 1, 1}, axis{4, 4, 3, 1, 1, 1}, shut{0, 0, 1, 1, 1, 0};
  for (const Layout layout : kLayouts) {
    compare_types({layout, 2, 5, 2, none, axis}, serially());
    compare_types({layout, 2, 5, 2, shut, axis}, serially());
    compare_types({layout, 0, 5, 2, axis, axis}, serially());
    compare_types({layout, 2, 5, 0, axis, axis}, serially());
  }
  const conv::Problem problem{
      Op::kForward, Dtype::kFloat, {Layout::kNHWC, 1, 1, 1, none, axis}, {true}};
  check(cpu::explain(problem, 1).find("the epilogue of zeros") != std::string::npos, "explained");
}

// Work that activations make is counted.
TF_DWBP_TEST(curves_cost_cycles) {
  const Axis axis{16, 16, 3, 1, 1, 1};
  const Geometry g{Layout::kNHWC, 4, 64, 1, axis, axis};
  const auto helpers = [&](const Epilogue& epilogue, const char* name) {
    const cpu::PlanPointer plan =
        implementation(Op::kForward, name).plan({Op::kForward, Dtype::kFloat, g, epilogue}, 64);
    const Tensor<float> input(g.input_elements()), filter(g.filter_elements()),
        output(g.output_elements());
    const Memory workspace(plan->workspace_bytes);
    int asked = 0;
    plan->run({input.data(), filter.data(), output.data(), workspace.data()},
              counted(64, &asked, 4000));
    return asked;
  };
  for (const char* name : {"direct", "packed"}) {
    const int plain = helpers({}, name);
    check(helpers({false, Activation::kRelu6}, name) == plain, "cutting off is free");
    check(helpers({false, Activation::kGelu}, name) > plain, "a curve is not");
  }
}

}  // namespace
}  // namespace tf_dwbp::testing
