// What programs that load the library may ask it, in C: tf_dwbp/_native.py does. None throws.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "cc/conv/problem.h"
#include "cc/cpu/depthwise.h"
#include "cc/cpu/implementations.h"

namespace tf_dwbp::cpu {
namespace {

// What a text turned out to be.
enum Status : int {
  kExplained = 0,
  kNotForced = 1,  // a problem that the implementation of TF_DWBP_IMPL does not compute
  kNoProblem = 2,  // none that can be read
};

std::string explain_text(const char* text, int64_t workers, int* status) {
  conv::Problem problem;
  const conv::Error unreadable = conv::read_problem(text, &problem);
  if (!unreadable.empty()) {
    *status = kNoProblem;
    return unreadable;
  }
  const Implementation* chosen = nullptr;
  *status = choose(problem, &chosen).empty() ? kExplained : kNotForced;
  return explain(problem, std::max<int64_t>(workers, 1));
}

}  // namespace
}  // namespace tf_dwbp::cpu

// Explains how the problem of that text would be computed by so many workers (cpu::explain), or
// says what is wrong with the text; `status` gets a Status. Writes as much as fits, and a zero,
// into `size` bytes at `buffer`; returns how many bytes there are without the zero, or -1 if there
// is no memory.
extern "C" TF_DWBP_EXPORT int64_t tf_dwbp_explain(const char* problem, int64_t workers,
                                                  char* buffer, int64_t size, int* status) try {
  const std::string text = tf_dwbp::cpu::explain_text(problem, workers, status);
  const int64_t needed = static_cast<int64_t>(text.size());
  if (size > 0) {
    const int64_t copied = std::min(needed, size - 1);
    std::memcpy(buffer, text.data(), copied);
    buffer[copied] = '\0';
  }
  return needed;
} catch (...) {  // GCOVR_EXCL_LINE: where there is no memory
  return -1;     // GCOVR_EXCL_LINE
}

// The name of an op's implementation, in the order of the list; `op` and `index` count from 0. Past
// the last of either, nullptr.
extern "C" TF_DWBP_EXPORT const char* tf_dwbp_implementation_name(int op, int index) {
  using tf_dwbp::conv::Op;
  if (op < 0 || op > static_cast<int>(Op::kFilterGrad)) return nullptr;
  const auto& list = tf_dwbp::cpu::implementations(static_cast<Op>(op));
  const bool known = index >= 0 && index < static_cast<int>(list.size());
  return known ? list[index].name : nullptr;
}
