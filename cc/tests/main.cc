// Runs all tests, or those whose names contain one of the arguments, and closes with their count;
// exits with 1 when a check failed.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cc/tests/check.h"

namespace tf_dwbp::testing {
namespace {

int failed_checks = 0;
int checks = 0;

}  // namespace

void check(bool passed, const std::string& what) {
  ++checks;
  if (passed) return;
  // The first failures tell enough.
  if (++failed_checks <= 20) std::printf("FAILED: %s\n", what.c_str());
}

bool sampled() {
  static const char* const text = std::getenv("TF_DWBP_TEST_ONE_OF");
  static const int one_of = text == nullptr ? 1 : std::max(1, std::atoi(text));
  static int cases = 0;
  return cases++ % one_of == 0;
}

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

}  // namespace tf_dwbp::testing

int main(int count, char** arguments) {
  using namespace tf_dwbp::testing;
  int passed = 0, failed = 0;
  for (const Test& test : tests()) {
    const bool wanted = std::any_of(arguments + 1, arguments + count, [&](const char* part) {
      return std::strstr(test.name, part) != nullptr;
    });
    if (count > 1 && !wanted) continue;
    const int failed_before = failed_checks, checks_before = checks;
    test.run();
    const bool good = failed_checks == failed_before && checks > checks_before;
    ++(good ? passed : failed);
    std::printf("%s %s (%d checks)\n", good ? "passed" : "FAILED", test.name,
                checks - checks_before);
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
