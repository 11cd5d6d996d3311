// What a custom call tells its handler, besides the tensors: attributes by name, as they stand in a
// dump of the program. No TensorFlow and no XLA: the one side is compiled with XLA's own headers,
// the other with those for its users, which do not mix.
#pragma once

#include <cstdint>
#include <string>

namespace tf_dwbp::xla {

// The problem's text (cc/conv/problem.h).
inline constexpr char kProblem[] = "problem";
// Threads that the workspace has room for; on a GPU, of no meaning.
inline constexpr char kWorkers[] = "workers";

// A dictionary of them, in MLIR's notation.
inline std::string to_dictionary(const std::string& problem, int64_t workers) {
  return "{" + std::string(kProblem) + " = \"" + problem + "\", " + kWorkers + " = " +
         std::to_string(workers) + " : i64}";
}

}  // namespace tf_dwbp::xla
