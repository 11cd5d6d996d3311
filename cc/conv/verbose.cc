#include "cc/conv/verbose.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tf_dwbp::conv {

bool verbose() {
  static const char* const wanted = std::getenv("TF_DWBP_VERBOSE");
  static const bool on = wanted != nullptr && *wanted != '\0' && std::strcmp(wanted, "0") != 0;
  return on;
}

void print_call(const char* device, const char* isa, const char* implementation,
                const Problem& problem, double milliseconds, const char* unit) {
  std::fprintf(stderr, "tf_dwbp,%s,%s,%s,%s,%.3f %s\n", device, isa, implementation,
               to_text(problem).c_str(), milliseconds, unit);
}

}  // namespace tf_dwbp::conv
