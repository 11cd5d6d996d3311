// What the devices' lists of implementations have in common (cc/cpu/implementations.h,
// cc/gpu/implementations.h): who takes a problem, and how that is told.
//
// An implementation has a `name` and a function `declines`, which returns why it cannot, or should
// not, compute a problem; an empty text if it takes it.
#pragma once

#include <string>
#include <vector>

#include "cc/conv/problem.h"

namespace tf_dwbp::conv {

// The name that the environment variable TF_DWBP_IMPL had at the first call, or "".
const std::string& forced_implementation();

// What computes problems without products, whichever implementation is forced.
inline constexpr char kZeros[] = "zeros";
std::string zeros_declines(const Problem& problem);
// What all others say to such a problem: the opposite.
std::string declines_without_products(const Problem& problem);

// "; " before all but the first, the name and what it answers.
void append_answer(const std::string& name, const std::string& why, std::string* answers);
// The error where nothing may take the problem.
Error nothing_takes(const Problem& problem, const std::string& answers);

// The first of `all` that does not decline, or the one that TF_DWBP_IMPL names. An error if that
// one is unknown or declines.
template <typename Implementation>
[[nodiscard]] Error choose(const Problem& problem, const std::vector<Implementation>& all,
                           const Implementation** chosen) {
  const std::string& forced = forced_implementation();
  std::string answers;
  for (const Implementation& candidate : all) {
    const bool may =
        forced.empty() || forced == candidate.name || kZeros == std::string(candidate.name);
    const std::string why = candidate.declines(problem);
    if (may && why.empty()) {
      *chosen = &candidate;
      return "";
    }
    append_answer(candidate.name, why, &answers);
  }
  return nothing_takes(problem, answers);
}

// Lines that tell the bytes of its tensors and the floating-point operations.
std::string work_of(const Problem& problem);

// A plan as people see it.
struct Described {
  std::string plan;
  int64_t workspace_bytes;
};

// What is known of how a problem would be computed: implementation, plan, workspace, bytes, flops,
// and why others declined. Lines of "name: value". `describe` makes a Described of an
// implementation that takes the problem.
template <typename Implementation, typename Describe>
std::string explain(const Problem& problem, const std::string& device,
                    const std::vector<Implementation>& all, Describe describe) {
  const Implementation* chosen = nullptr;
  const Error error = choose(problem, all, &chosen);
  std::string text = "problem: " + to_text(problem) + "\ndevice: " + device + "\nimplementation: ";
  if (error.empty()) {
    const Described described = describe(*chosen);
    text += chosen->name + ("\nplan: " + described.plan) +
            "\nworkspace: " + std::to_string(described.workspace_bytes) + " bytes";
  } else {
    text += "none, since " + error;
  }
  text += work_of(problem);
  std::string not_taken = "is not the one that TF_DWBP_IMPL names";
  for (const Implementation& other : all) {
    if (&other == chosen) {
      not_taken = "comes later";
      continue;
    }
    const std::string why = other.declines(problem);
    text += std::string("\n") + other.name + ": " +
            (why.empty() ? "would take it, but " + not_taken : "declines, since " + why);
  }
  return text;
}

}  // namespace tf_dwbp::conv
