#include "cc/cpu/depthwise.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cc/cpu/implementations.h"
#include "cc/cpu/runtime/isa.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Error;
using conv::Problem;

bool verbose() {
  static const char* const wanted = std::getenv("TF_DWBP_VERBOSE");
  static const bool on = wanted != nullptr && *wanted != '\0' && std::strcmp(wanted, "0") != 0;
  return on;
}

}  // namespace

Error make_plan(const Problem& problem, int64_t workers, PlanPointer* plan) {
  const Implementation* chosen = nullptr;
  const Error error = choose(problem, &chosen);
  if (!error.empty()) return error;
  *plan = chosen->plan(problem, workers);
  (*plan)->implementation = chosen->name;
  return "";
}

void run(const Plan& plan, const Tensors& tensors, const Parallel& parallel) {
  if (!verbose()) return plan.run(tensors, parallel);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  plan.run(tensors, parallel);
  const std::chrono::duration<double, std::milli> taken = Clock::now() - begin;
  std::fprintf(stderr, "tf_dwbp,cpu,%s,%s,%s,%.3f ms\n", isa().name, plan.implementation,
               to_text(plan.problem).c_str(), taken.count());
}

std::string explain(const Problem& problem, int64_t workers) {
  const Implementation* chosen = nullptr;
  const Error error = choose(problem, &chosen);
  std::string text = "problem: " + to_text(problem) + "\ndevice: cpu, " + isa().name + ", " +
                     std::to_string(workers) + (workers == 1 ? " worker" : " workers");
  const conv::Geometry& g = problem.geometry;
  if (error.empty()) {
    const PlanPointer plan = chosen->plan(problem, workers);
    text += std::string("\nimplementation: ") + chosen->name + "\nplan: " + plan->describe() +
            "\nworkspace: " + std::to_string(plan->workspace_bytes) + " bytes";
  } else {
    text += "\nimplementation: none, since " + error;
  }
  // In double, since three of the largest tensors have more bytes than 63 bits can count.
  const double elements = 1.0 * g.input_elements() + g.filter_elements() + g.output_elements();
  const double read_and_written = elements * bytes_of(problem.dtype);
  const double flops = 2.0 * g.output_elements() * g.height.filter * g.width.filter;
  char numbers[128];
  std::snprintf(numbers, sizeof numbers, "\nbytes: %.0f\nflops: %.0f", read_and_written, flops);
  text += numbers;
  bool passed = false;  // the one that was chosen
  for (const Implementation& other : implementations(problem.op)) {
    if (&other == chosen) {
      passed = true;
      continue;
    }
    const std::string why = other.declines(problem);
    const char* const not_taken = passed ? "comes later" : "is not the one that TF_DWBP_IMPL names";
    text +=
        std::string("\n") + other.name + ": " +
        (why.empty() ? std::string("would take it, but ") + not_taken : "declines, since " + why);
  }
  return text;
}

}  // namespace tf_dwbp::cpu
