#include "cc/conv/implementations.h"

#include <cstdio>
#include <cstdlib>

namespace tf_dwbp::conv {

const std::string& forced_implementation() {
  static const std::string name = [] {
    const char* const set = std::getenv("TF_DWBP_IMPL");
    return std::string(set == nullptr ? "" : set);
  }();
  return name;
}

std::string zeros_declines(const Problem& problem) {
  const Geometry& g = problem.geometry;
  if (g.input_elements() == 0 || g.filter_elements() == 0 || g.output_elements() == 0) return "";
  return "there are products to sum";
}

std::string declines_without_products(const Problem& problem) {
  return zeros_declines(problem).empty() ? "there are no products to sum" : "";
}

void append_answer(const std::string& name, const std::string& why, std::string* answers) {
  *answers +=
      (answers->empty() ? "" : "; ") + name + (why.empty() ? " takes it" : " declines: " + why);
}

Error nothing_takes(const Problem& problem, const std::string& answers) {
  return "TF_DWBP_IMPL is '" + forced_implementation() + "', which does not compute " +
         to_text(problem) + ": " + answers;
}

std::string work_of(const Problem& problem) {
  const Geometry& g = problem.geometry;
  // In double, since three of the largest tensors have more bytes than 63 bits can count.
  const double elements = 1.0 * g.input_elements() + g.filter_elements() + g.output_elements() +
                          (problem.epilogue.bias ? g.out_channels() : 0);
  const double flops = 2.0 * g.output_elements() * g.height.filter * g.width.filter;
  char numbers[128];
  std::snprintf(numbers, sizeof numbers, "\nbytes: %.0f\nflops: %.0f",
                elements * bytes_of(problem.dtype), flops);
  return numbers;
}

}  // namespace tf_dwbp::conv
