// Runs all tests, or those whose names contain one of the arguments, and closes with their count.
//
//   --random SECONDS   random calls for so long, and nothing else
//   --seed N           of the random calls
//   --case N           only this one of the random calls
//   --workers N        that tests plan for, and use, where they don't say; TF_DWBP_TEST_WORKERS
//   --one-of N         of long tests one case in so many; TF_DWBP_TEST_ONE_OF
//   --first N          the first of these, below the number above; 0 unless told
//   --stop             after the first test that fails
//   --quick            few cases of long tests, and --stop
//   --plans            prints the plans of fixed problems, and nothing else
//
// Exits with 1 when a check failed, with 2 when it was called wrongly.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cc/tests/check.h"
#include "cc/tests/sanitizers.h"

namespace tf_dwbp::testing {
namespace {

constexpr const char* kRandomTest = "random_calls";
constexpr const char* kPlansTest = "plans_are_made_again";
constexpr int kFailuresTold = 20;
constexpr int kQuickOneOf = 29;

int failed_checks = 0;
int failures_told = 0;
int checks = 0;
int64_t left_out = 0;  // cases of long tests
Options asked;
const char* volatile last_words = nullptr;

void speak() {
  const char* const text = last_words;
  if (text == nullptr) return;
  last_words = nullptr;
  // Nothing but what a signal handler may call.
  for (const char* part : {"FAILED: died in: ", text, "\n"}) {
    if (write(STDOUT_FILENO, part, std::strlen(part)) < 0) return;
  }
}

void die(int signal) {
  speak();
  if (signal == SIGALRM) _exit(1);
  ::signal(signal, SIG_DFL);
  raise(signal);
}

int integer_in(const char* variable, int otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::max(1, std::atoi(text));
}

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(2);
}

// Runs the tests whose names contain one of the parts, or all; returns how many failed.
int run_tests(const std::vector<std::string>& parts, bool stop) {
  const bool all = parts.empty() && asked.one_of == 1;
  std::vector<Test> ordered = tests();
  std::stable_partition(ordered.begin(), ordered.end(), [](const Test& t) { return !t.last; });
  int passed = 0, failed = 0;
  for (const Test& test : ordered) {
    const bool named = std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
      return std::strstr(test.name, part.c_str()) != nullptr;
    });
    if (!named && !(parts.empty() && (all || !test.last))) continue;
    const int failed_before = failed_checks, checks_before = checks;
    const int64_t left_out_before = left_out;
    failures_told = 0;
    say_at_death(test.name, 0);
    test.run();
    say_at_death(nullptr, 0);
    // All of a test's cases may have been left out.
    const bool tried = checks > checks_before || left_out > left_out_before;
    const bool good = failed_checks == failed_before && tried;
    ++(good ? passed : failed);
    std::printf("%s %s (%d checks)\n", good ? "passed" : "FAILED", test.name,
                checks - checks_before);
    std::fflush(stdout);
    if (stop && !good) break;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  if (passed + failed == 0) refuse("There is no such test.");
  return failed;
}

}  // namespace

void check(bool passed, const std::string& what) {
  ++checks;
  if (passed) return;
  ++failed_checks;
  // The first failures of a test tell enough.
  if (++failures_told <= kFailuresTold) std::printf("FAILED: %s\n", what.c_str());
}

bool sampled() {
  static int64_t cases = 0;
  const bool taken = cases++ % asked.one_of == asked.first;
  left_out += !taken;
  return taken;
}

const Options& options() { return asked; }

void say_at_death(const char* text, int seconds) {
  last_words = text;
  alarm(static_cast<unsigned>(seconds));
}

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

}  // namespace tf_dwbp::testing

int main(int count, char** arguments) {
  using namespace tf_dwbp::testing;
  // Tests expect stores past the caches from the same size on everywhere.
  setenv("TF_DWBP_L3_MB", "0", 0);
  std::vector<std::string> parts;
  bool stop = false;
  asked.workers = integer_in("TF_DWBP_TEST_WORKERS", 1);
  asked.one_of = integer_in("TF_DWBP_TEST_ONE_OF", 1);
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const auto number = [&](double least) {
      char* end = nullptr;
      const char* const text = i + 1 < count ? arguments[++i] : "";
      const double value = std::strtod(text, &end);
      if (*text == '\0' || *end != '\0' || value < least) {
        refuse(argument + " must be followed by a number, not '" + text + "'");
      }
      return value;
    };
    if (argument == "--random") {
      asked.random_seconds = number(0);
      parts = {kRandomTest};
    } else if (argument == "--seed") {
      asked.seed = static_cast<int64_t>(number(0));
    } else if (argument == "--case") {
      asked.one_case = static_cast<int64_t>(number(0));
      parts = {kRandomTest};
    } else if (argument == "--workers") {
      asked.workers = static_cast<int64_t>(number(1));
    } else if (argument == "--one-of") {
      asked.one_of = static_cast<int>(number(1));
    } else if (argument == "--first") {
      asked.first = static_cast<int>(number(0));
    } else if (argument == "--quick") {
      asked.one_of = std::max(asked.one_of, kQuickOneOf);
      stop = true;
    } else if (argument == "--plans") {
      asked.plans = true;
      parts = {kPlansTest};
    } else if (argument == "--stop") {
      stop = true;
    } else if (argument[0] == '-') {
      refuse("unknown option " + argument + "; the head of cc/tests/main.cc has those that exist");
    } else {
      parts.push_back(argument);
    }
  }
  if (asked.first >= asked.one_of) refuse("--first must be below --one-of");
  signal(SIGALRM, die);
  if (kSanitized) {
    at_sanitizer_death(speak);
  } else {
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE}) ::signal(signal, die);
  }
  return run_tests(parts, stop) == 0 ? 0 : 1;
}
