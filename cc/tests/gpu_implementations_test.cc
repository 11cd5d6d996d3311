// The GPU's list of implementations, and their plans as values.

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cc/conv/implementations.h"
#include "cc/gpu/implementations.h"
#include "cc/gpu/window.h"
#include "cc/tests/gpu_compare.h"

namespace tf_dwbp::gpu {
namespace {

using testing::operand;

template <typename T>
void compare_implementations(Op op, const Geometry& g) {
  const Example example(op, g);
  for (const Implementation* by : takers({op, dtype_of(T()), g})) {
    compare<T>(example, /*shift=*/0, by);
  }
}

TF_DWBP_TEST(every_implementation_computes_what_it_does_not_decline) {
  const Axis plain = same_padded(9, 3, 1), half = same_padded(14, 5, 2),
             dilated = same_padded(12, 3, 1, 3), seven = same_padded(8, 7, 2), none{0, 0, 3, 1, 1};
  for (const Op op : kAllOps)
    for (const Layout layout : kLayouts)
      for (const int64_t channels : {1, 3, 40})
        for (const int64_t multiplier : {1, 2}) {
          compare_implementations<float>(op, {layout, 2, channels, multiplier, plain, plain});
          compare_implementations<Half>(op, {layout, 2, channels, multiplier, half, half});
          compare_implementations<Bfloat16>(op, {layout, 2, channels, multiplier, dilated, plain});
          compare_implementations<double>(op, {layout, 2, channels, multiplier, seven, seven});
          compare_implementations<float>(op, {layout, 2, channels, multiplier, none, plain});
        }
}

template <typename T>
void compare_epilogues(const Geometry& g) {
  for (const bool bias : {false, true})
    for (const conv::Activation kind : conv::kActivations) {
      const Example example(Op::kForward, g, {bias, kind, 0.2f});
      for (const Implementation* by : takers({Op::kForward, dtype_of(T()), g, example.epilogue})) {
        compare<T>(example, /*shift=*/0, by);
      }
    }
}

// By every implementation, also where nothing is summed and where vectors hold more channels or
// positions than there are.
TF_DWBP_TEST(epilogues) {
  const Axis plain = same_padded(9, 3, 1), half = same_padded(14, 5, 2), none{0, 3, 1, 1, 1, 1},
             shut{0, 0, 3, 1, 1};
  for (const Layout layout : kLayouts)
    for (const int64_t channels : {1, 3, 10})
      for (const int64_t multiplier : {1, 2}) {
        compare_epilogues<float>({layout, 2, channels, multiplier, plain, plain});
        compare_epilogues<Half>({layout, 2, channels, multiplier, half, half});
        compare_epilogues<Bfloat16>({layout, 2, channels, multiplier, plain, plain});
        compare_epilogues<double>({layout, 1, channels, multiplier, none, plain});
        compare_epilogues<float>({layout, 2, channels, multiplier, shut, plain});
      }
  const conv::Problem filled{
      Op::kForward, Dtype::kFloat, {Layout::kNHWC, 1, 1, 1, none, plain}, {true}};
  check(named("zeros").declines(filled) == "the result is the epilogue of a bias",
        "zeros declines");
  const Implementation* by = nullptr;
  check(choose(filled, &by).empty() && by->name == std::string("general"), "general takes it");
}

// NaN, Inf, and what curves have for them.
TF_DWBP_TEST(epilogues_of_values_that_are_not_finite) {
  const Axis one{1, 1, 1, 1, 1, 0};
  const Geometry g{Layout::kNHWC, 1, 3, 1, one, one};
  for (const conv::Activation kind : conv::kActivations) {
    const Problem problem{Op::kForward, Dtype::kFloat, g, {false, kind, 0.2f}};
    const std::vector<float> result =
        call<float>(*plan(problem), {-INFINITY, INFINITY, NAN}, {1, 1, 1});
    for (const int i : {0, 1}) {
      const long double x = i == 0 ? -INFINITY : INFINITY;
      check(result[i] == testing::activation(problem.epilogue, x), to_text(problem));
    }
    check(std::isnan(result[2]), to_text(problem));
  }
}

TF_DWBP_TEST(an_implementation_says_why_it_declines) {
  const Axis axis = same_padded(9, 3, 1), none{0, 0, 3, 1, 1};
  const auto why = [](const char* name, Op op, const Axis& h, const Axis& w, int64_t multiplier) {
    return named(name).declines({op, Dtype::kFloat, {Layout::kNHWC, 2, 4, multiplier, h, w}});
  };
  for (const Op op : kAllOps) {
    check(why("zeros", op, axis, axis, 1) == "there are products to sum", "zeros");
    check(why("tiled", op, axis, axis, 1).empty(), "tiled");
    check(why("general", op, axis, axis, 1).empty(), "general");
    check(why("zeros", op, none, axis, 1).empty(), "zeros, empty");
    check(why("tiled", op, none, axis, 1) == "there are no products to sum", "tiled, empty");
    check(why("general", op, none, axis, 1) == "there are no products to sum", "general, empty");
    check(why("tiled", op, axis, axis, 2) == "the depth multiplier is not 1", "multiplier");
    check(why("tiled", op, axis, same_padded(9, 5, 1), 1) ==
              "rows and columns differ in taps or stride",
          "taps differ");
    const Axis both = same_padded(9, 3, 2, 2), four = same_padded(9, 4, 1),
               long_one = same_padded(99, 65, 1), apart = same_padded(300, 3, 65),
               even = same_padded(9, 4, 2), thrice = same_padded(9, 4, 3);
    check(why("tiled", op, both, both, 1) == "stride and dilation are both above 1", "both");
    check(why("tiled", op, four, four, 1) == "no kernel is compiled for 4x4 taps and stride 1",
          "taps");
    check(why("tiled", op, thrice, thrice, 1) == "no kernel is compiled for 4x4 taps and stride 3",
          "stride");
    check(why("tiled", op, long_one, long_one, 1) == "65 taps are too many for registers", "long");
    check(why("tiled", op, apart, apart, 1) == "no kernel is compiled for stride 65", "apart");
    const Axis most = same_padded(kMostPositions, 3, 1),
               beyond = same_padded(kMostPositions + 1, 3, 1);
    const Axis phases = same_padded(9, 3, 1, kMostPhases),
               more = same_padded(9, 3, 1, kMostPhases + 1);
    check(why("tiled", op, most, phases, 1).empty(), "as many as are counted");
    check(why("tiled", op, beyond, axis, 1) ==
              "268435457 rows, columns or paddings are more than the 268435456 that kernels count",
          "positions");
    check(why("tiled", op, axis, more, 1) ==
              "8193 phases of a dilation are more than the 8192 that kernels count",
          "phases");
    check(why("general", op, beyond, more, 1).empty(), "general, of any length");
    check(why("tiled", op, even, even, 1) ==
              (op == Op::kInputGrad ? "4 taps do not begin and end at the same phase of stride 2"
                                    : "no kernel is compiled for 4x4 taps and stride 2"),
          "even");
  }
}

// What TF_DWBP_IMPL names, where it is set for the program.
TF_DWBP_TEST(an_implementation_may_be_forced) {
  const std::string& wanted = conv::forced_implementation();
  const Axis axis = same_padded(9, 3, 1);
  for (const Op op : kAllOps) {
    const Problem problem{op, Dtype::kFloat, {Layout::kNCHW, 2, 4, 1, axis, axis}};
    const Implementation* by = nullptr;
    const conv::Error error = choose(problem, &by);
    const bool known = wanted != "unknown";
    check(error.empty() == known, "forced: " + error);
    check(!known || by->name == (wanted.empty() ? "strips" : wanted), "what was wanted");
    check(
        known ||
            error ==
                "TF_DWBP_IMPL is '" + wanted + "', which does not compute " + to_text(problem) +
                    ": zeros declines: there are products to sum; strips takes it; tiled takes it; "
                    "staged takes it; general takes it",
        error);
    PlanPointer made;
    check(make_plan(problem, &made) == error, "a plan, or the same error");
    check(!known || made->implementation == std::string(by->name), "the plan has its name");
    const Geometry none{Layout::kNHWC, 0, 4, 1, axis, axis};
    check(choose({op, Dtype::kFloat, none}, &by).empty() && by->name == std::string("zeros"),
          "without products there is nothing to force");
  }
}

// All of a workspace is written, and (as the sanitizer sees in all tests) nothing else.
TF_DWBP_TEST(a_workspace_is_as_large_as_needed) {
  const std::vector<Axis> axes = {same_padded(9, 3, 1), same_padded(20, 5, 2),
                                  same_padded(16, 3, 1, 2)};
  for (const Op op : kAllOps)
    for (const Layout layout : kLayouts)
      for (const int64_t channels : {1, 5, 40})
        for (const Axis& axis : axes) {
          const Problem problem{op, Dtype::kFloat, {layout, 3, channels, 1, axis, axis}};
          const Geometry& g = problem.geometry;
          for (const Implementation* by : takers(problem)) {
            const PlanPointer made = plan(problem, by);
            const std::string text = std::string(by->name) + ": " + to_text(problem);
            check((made->workspace_bytes > 0) == (op == Op::kFilterGrad), text);
            const auto [first, second] = operands_of(op);
            const Memory workspace(made->workspace_bytes);
            testing::call_on<float>(
                op, g, operand<float>(pattern(elements_of(first, g), 1)),
                operand<float>(pattern(elements_of(second, g), 2)), {}, workspace,
                [&](const Tensors& tensors) { check(run(*made, tensors, nullptr).empty(), text); });
            bool written = true;
            for (int64_t i = 0; i < made->workspace_bytes / 4; ++i) {
              uint32_t bits = 0;
              std::memcpy(&bits, workspace.as<char>() + 4 * i, sizeof bits);
              written &= bits != 0xffffffff;
            }
            check(written, text + ": a part of the workspace is not used");
          }
        }
}

void check_shared_state(const Problem& problem, const Implementation& by) {
  const Op op = problem.op;
  const Device small{4, 32 << 10, 0}, large{132, 228 << 10, 1 << 10};
  const Example example(op, problem.geometry);
  const std::vector<float> a = operand<float>(example.a), b = operand<float>(example.b);
  const std::vector<float> expected = to<float>(example.expected);
  state().device = small;
  PlanPointer one = plan(problem, &by), other = plan(problem, &by);
  const int64_t workspace_bytes = one->workspace_bytes;
  const std::string on_small = one->describe();
  check(same_bits(call<float>(*one, a, b), expected), "one");
  state().device = large;
  const std::string on_large = one->describe();
  // The filter gradient's parts must be the same everywhere. Staged tiles of others may be.
  const bool may_be_same = op == Op::kFilterGrad || by.name == std::string("staged");
  check(on_small == on_large ? may_be_same : op != Op::kFilterGrad, on_small + " and " + on_large);
  check(same_bits(call<float>(*one, a, b), expected), "one, on another device");
  check(one->workspace_bytes == workspace_bytes, "the same workspace");
  one.reset();
  check(same_bits(call<float>(*other, a, b), expected), "other, alone");
  check(other->describe() == on_large, "planned for the device it first ran on");
  state().device = small;
  check(other->describe() == on_small, "and for the next");
  check(same_bits(call<float>(*other, a, b), expected), "other, on another device");
  check(plan(problem, &by)->workspace_bytes == workspace_bytes, "no device decides on it");
}

// Plans are values: each may be run again, on another device, and after others are gone.
TF_DWBP_TEST(plans_share_no_state) {
  const Device before = state().device;
  for (const Layout layout : kLayouts)
    for (const Op op : kAllOps) {
      const Axis axis = same_padded(56, 3, 1);
      const Problem problem{op, Dtype::kFloat, {layout, 4, 24, 1, axis, axis}};
      for (const Implementation* by : special_takers(problem)) check_shared_state(problem, *by);
    }
  state().device = before;
}

TF_DWBP_TEST(a_problem_is_explained) {
  const Axis axis = same_padded(9, 3, 1);
  for (const Op op : kAllOps)
    for (const int64_t multiplier : {1, 2}) {
      const Problem problem{op, Dtype::kFloat, {Layout::kNHWC, 2, 4, multiplier, axis, axis}};
      const std::string text = explain(problem);
      const auto tells = [&](const std::string& part) {
        check(text.find(part) != std::string::npos, part + " in " + text);
      };
      PlanPointer made;
      tells("problem: " + to_text(problem) + "\ndevice: cuda\nimplementation: ");
      if (!make_plan(problem, &made).empty()) {
        tells("none, since TF_DWBP_IMPL is");
        continue;
      }
      tells(made->implementation + ("\nplan: " + made->describe()));
      tells("\nworkspace: " + std::to_string(made->workspace_bytes) + " bytes\n");
      tells("\nzeros: declines, since there are products to sum");
    }
}

}  // namespace
}  // namespace tf_dwbp::gpu
