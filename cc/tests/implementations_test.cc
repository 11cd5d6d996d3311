// The list of implementations: each computes what it does not decline, and says why it declines.

#include "cc/cpu/implementations.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "cc/cpu/runtime/dispatch.h"
#include "cc/tests/compare.h"
#include "cc/tests/planned.h"
#include "cc/tests/pool.h"

namespace tf_dwbp::testing {
namespace {

template <typename T>
void compare_implementations(Op op, const Geometry& g, const How& asked) {
  const Example example(op, g);
  for (const cpu::Implementation& by : cpu::implementations(op)) {
    if (!by.declines({op, dtype_of(T()), g}).empty()) continue;
    How how = asked;
    how.implementation = &by;
    check(solved<T>(example, how), std::string(by.name) + ": " + describe(op, g) + ", " +
                                       type_name<T>() + ", " + std::to_string(how.workers) +
                                       " workers");
  }
}

TF_DWBP_TEST(every_implementation_computes_what_it_does_not_decline) {
  const Axis same{9, 9, 3, 1, 1, 1}, half{14, 7, 5, 2, 1, 2}, dilated{12, 12, 3, 1, 3, 3};
  for (const int64_t workers : {1, 4}) {
    const How how = by_threads(workers);
    for (const Op op : kAllOps)
      for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
        for (const int64_t channels : {1, 3, 16, 40, 130})
          for (const int64_t multiplier : {1, 2}) {
            if (!sampled()) continue;
            const int64_t batch = channels == 3 ? 5 : 2;
            compare_implementations<float>(op, {layout, batch, channels, multiplier, same, half},
                                           how);
            compare_implementations<Half>(op, {layout, batch, channels, multiplier, dilated, same},
                                          how);
            compare_implementations<Bfloat16>(op, {layout, batch, channels, multiplier, half, half},
                                              how);
            compare_implementations<double>(
                op, {layout, batch, channels, multiplier, half, dilated}, how);
          }
  }
}

// Two rows of one image: threads share channels, the last of which overlap others.
TF_DWBP_TEST(chunks_of_channels_are_done_once) {
  const Axis rows{2, 2, 3, 1, 1, 1}, halved{3, 2, 3, 2, 1, 1}, columns{9, 9, 3, 1, 1, 1};
  for (const Op op : kAllOps)
    for (const int64_t channels : {512, 517, 2 * 517})
      for (const Axis& height : {rows, halved}) {
        const Geometry g{Layout::kNHWC, 1, channels, 1, height, columns};
        for (const cpu::Implementation& by : cpu::implementations(op)) {
          const conv::Problem problem{op, Dtype::kFloat, g};
          // Eigen's implementation cuts in its own way.
          if (!by.declines(problem).empty() || by.plan == cpu::plan_eigen) continue;
          const cpu::PlanPointer plan = by.plan(problem, 8);
          check(numbers_in(plan->describe()).back() > 1, "chunks: " + plan->describe());
        }
        compare_implementations<float>(op, g, by_threads(8));
        compare_implementations<Half>(op, g, by_threads(8));
      }
}

TF_DWBP_TEST(an_implementation_says_why_it_declines) {
  const Axis axis{9, 9, 3, 1, 1, 1}, empty{0, 0, 3, 1, 1, 1}, apart{40, 14, 3, 3, 1, 1},
      many{40, 40, 9, 1, 1, 4}, one{1, 1, 1, 1, 1, 0}, six{12, 6, 6, 2, 1, 2};
  const auto why = [](const char* name, Op op, const Geometry& g) -> std::string {
    for (const cpu::Implementation& by : cpu::implementations(op)) {
      if (by.name == std::string(name)) return by.declines({op, Dtype::kFloat, g});
    }
    return "no such implementation";
  };
  const Geometry plain{Layout::kNHWC, 2, 64, 1, axis, axis};
  for (const Op op : kAllOps) {
    check(why("zeros", op, plain) == "there are products to sum", "zeros");
    check(why("zeros", op, {Layout::kNHWC, 2, 64, 1, empty, axis}).empty(), "zeros, empty");
    check(why("direct", op, plain).empty() && why("packed", op, plain).empty(), "plain");
    check(why("direct", op, {Layout::kNCHW, 2, 64, 1, axis, axis}) ==
              "channels are adjacent in NHWC alone",
          "layout");
    check(
        why("direct", op, {Layout::kNHWC, 2, 64, 2, axis, axis}) == "the depth multiplier is not 1",
        "multiplier");
    check(!why("direct", op, {Layout::kNHWC, 2, 3, 1, axis, axis}).empty(), "few channels");
    const int64_t vector = op == Op::kFilterGrad ? 16 : cpu::lanes<float>();
    check(why("direct", op, {Layout::kNHWC, 2, vector, 1, axis, axis}).empty(), "a vector's");
    check(!why("direct", op, {Layout::kNHWC, 2, vector - 1, 1, axis, axis}).empty(), "one less");
    for (const char* name : {"direct", "packed"}) {
      check(why(name, op, {Layout::kNHWC, 2, 64, 1, empty, axis}) == "there are no products to sum",
            std::string(name) + ", empty");
    }
  }
  check(why("tapwise", Op::kFilterGrad, plain).empty(), "tapwise");
  check(!why("direct", Op::kForward, {Layout::kNHWC, 1, 64, 1, axis, apart}).empty(), "stride 3");
  check(why("direct", Op::kForward, {Layout::kNHWC, 1, 64, 1, axis, many}).empty(), "9 taps");
  check(why("direct", Op::kForward, {Layout::kNHWC, 1, 64, 1, axis, six}).empty(),
        "a shift and taps that no kernel was made for");
  const Axis most{60, 60, 51, 1, 1, 25}, more{60, 60, 52, 1, 1, 25}, phases{60, 30, 102, 2, 1, 50};
  check(why("direct", Op::kForward, {Layout::kNHWC, 1, 64, 1, axis, most}).empty(), "51 taps");
  check(contains(why("direct", Op::kForward, {Layout::kNHWC, 1, 64, 1, axis, more}), "52"), "52");
  check(why("direct", Op::kInputGrad, {Layout::kNHWC, 1, 64, 1, axis, phases}).empty(),
        "51 taps of each phase");
  const Axis tall{300, 1, 300, 1, 1, 0}, wide{600, 256, 3, 1, 172, 0};
  check(!why("packed", Op::kFilterGrad, {Layout::kNCHW, 1, 1, 1, tall, wide}).empty(), "too large");
  check(why("tapwise", Op::kFilterGrad, {Layout::kNCHW, 1, 1, 1, tall, wide}).empty(), "tapwise");
  check(why("direct", Op::kForward, {Layout::kNHWC, 1, 64, 1, one, one}).empty(), "a point");
}

// What TF_DWBP_IMPL names, where it is set for the program.
TF_DWBP_TEST(an_implementation_may_be_forced) {
  const char* const set = std::getenv("TF_DWBP_IMPL");
  const std::string wanted = set == nullptr ? "" : set;
  const Axis axis{9, 9, 3, 1, 1, 1}, empty{0, 0, 3, 1, 1, 1};
  for (const Op op : kAllOps) {
    const conv::Problem problem{op, Dtype::kFloat, {Layout::kNHWC, 2, 64, 1, axis, axis}};
    const cpu::Implementation* by = nullptr;
    const conv::Error error = cpu::choose(problem, &by);
    bool known = wanted.empty();
    std::string names;
    for (const cpu::Implementation& one : cpu::implementations(op)) {
      known |= wanted == one.name && wanted != "zeros";
      check(error.empty() || error.find(one.name) != std::string::npos, "names all: " + error);
    }
    check(error.empty() == known, "forced: " + error);
    check(!known || by->name == (wanted.empty() ? "direct" : wanted), "what was wanted");
    check(known || error.find("TF_DWBP_IMPL is '" + wanted + "'") == 0, error);
    cpu::PlanPointer plan;
    check(cpu::make_plan(problem, 1, &plan) == error, "a plan, or the same error");
    check(!known || plan->implementation == std::string(by->name), "the plan has its name");
    const Geometry none{Layout::kNHWC, 2, 64, 1, empty, axis};
    check(cpu::choose({op, Dtype::kFloat, none}, &by).empty() && by->name == std::string("zeros"),
          "without products there is nothing to force");
  }
}

// Others are woken if the work is worth it: an output vector costs four cycles, and one for each of
// its taps; and eight bytes of tensors that are larger than 1 MB cost one.
TF_DWBP_TEST(helpers_are_asked_for_what_the_work_is_worth) {
  constexpr int64_t kBatch = 66;  // enough items for all helpers
  const Axis height{24, 12, 4, 2, 1, 1}, width{30, 15, 6, 2, 1, 2};
  for (const Op op : kAllOps)
    for (const cpu::Implementation& by : cpu::implementations(op))
      for (const int64_t channels : {3, 128})
        for (const int64_t multiplier : {1, 2}) {
          const Geometry g{Layout::kNHWC, kBatch, channels, multiplier, height, width};
          const conv::Problem problem{op, Dtype::kFloat, g};
          // Eigen's implementation has vectors and costs of its own.
          if (!by.declines(problem).empty() || by.plan == cpu::plan_eigen) continue;
          if (!sampled()) continue;
          const int64_t lanes = cpu::lanes<float>();
          const int64_t of_result = op == Op::kInputGrad ? channels : channels * multiplier;
          const int64_t images = std::max<int64_t>(1, std::min(kBatch, lanes / of_result));
          const int64_t vectors = (of_result + lanes - 1) / lanes *
                                  ((kBatch + images - 1) / images) *
                                  (op == Op::kInputGrad ? 24 * 30 : 12 * 15);
          // Of the input gradient, with strides of 2, a quarter of the taps meet an element.
          const int64_t taps = op == Op::kInputGrad ? 4 * 6 / 4 * multiplier : 4 * 6;
          const double bytes = 4.0 * kBatch * channels * (24 * 30 + 12 * 15 * multiplier);
          const double cycles =
              static_cast<double>(vectors * (4 + taps)) + (bytes >= 1 << 20 ? bytes / 8 : 0);
          const cpu::PlanPointer plan = by.plan(problem, 8);
          const Tensor<float> input(g.input_elements()), filter(g.filter_elements()),
              output(g.output_elements());
          float* const all[] = {input.data(), filter.data(), output.data()};
          const auto [a, b] = operands_of(op);
          const Memory workspace(plan->workspace_bytes);
          for (const auto& [worth, helpers] :
               {std::pair<double, int>(1.99, 0), {2.01, 1}, {4.99, 3}, {5.01, 4}, {100, 7}}) {
            int asked = 0;
            plan->run({all[static_cast<int>(a)], all[static_cast<int>(b)],
                       all[static_cast<int>(result_of(op))], workspace.data()},
                      counted(8, &asked, cycles / worth));
            check(asked == helpers, std::string(by.name) + ": " + describe(op, g) + ", worth " +
                                        std::to_string(worth) + ": " + std::to_string(asked));
          }
        }
}

TF_DWBP_TEST(a_problem_is_explained) {
  const Axis axis{9, 9, 3, 1, 1, 1};
  for (const Op op : kAllOps)
    for (const int64_t channels : {3, 16, 64})
      for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
        const conv::Problem problem{op, Dtype::kFloat, {layout, 64, channels, 1, axis, axis}};
        const std::string text = cpu::explain(problem, 2);
        check(contains(text, "problem: " + to_text(problem) + "\n"), text);
        check(contains(text, ", 2 workers\n"), text);
        cpu::PlanPointer plan;
        if (!cpu::make_plan(problem, 2, &plan).empty()) {
          check(contains(text, "implementation: none, since TF_DWBP_IMPL is"), text);
          continue;
        }
        check(contains(text, std::string("implementation: ") + plan->implementation + "\n"), text);
        check(contains(text, "workspace: " + std::to_string(plan->workspace_bytes) + " bytes"),
              text);
        const int64_t floats = 2 * 64 * 81 * channels + 9 * channels;
        check(contains(text, "bytes: " + std::to_string(4 * floats) + "\n"), text);
        check(contains(text, "flops: " + std::to_string(2 * 9 * 64 * 81 * channels) + "\n"), text);
        check(contains(text, "zeros: declines, since there are products to sum"), text);
      }
  const std::string single =
      cpu::explain({Op::kFilterGrad,
                    Dtype::kHalf,
                    {Layout::kNCHW, 1, 1, 1, {300, 1, 300, 1, 1, 0}, {600, 256, 3, 1, 172, 0}}},
                   1);
  check(contains(single, ", 1 worker\n"), single);
}

}  // namespace
}  // namespace tf_dwbp::testing
