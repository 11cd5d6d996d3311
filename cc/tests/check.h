// Just enough of a test framework for a program that has to build in seconds with any compiler.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tf_dwbp::testing {

// Counts a check; prints `what` where it failed.
void check(bool passed, const std::string& what);

// Whether to take one of a long test's cases: all, or one in so many as TF_DWBP_TEST_ONE_OF says,
// for emulators, which need minutes for what a machine does in seconds. Which one, --first says.
bool sampled();

// What the program was asked for.
struct Options {
  double random_seconds = 0;  // of random calls; 0: a few
  int64_t seed = 1;           // of random calls
  int64_t one_case = -1;      // the only random call to make, if not negative
  int64_t workers = 1;        // that tests plan for, and use, where they don't say
  int one_of = 1;             // see sampled()
  int first = 0;
  bool plans = false;  // print those of fixed problems
};
const Options& options();

// What is printed if the program dies, and how long it may take from now on; nullptr: no limit.
void say_at_death(const char* text, int seconds);

struct Test {
  const char* name;
  std::function<void()> run;
  bool last;  // after the others, and only if all of them are run in full
};

// The tests of the program, in the order in which they were registered.
std::vector<Test>& tests();

struct Registration {
  Registration(const char* name, std::function<void()> run, bool last = false) {
    tests().push_back({name, run, last});
  }
};

}  // namespace tf_dwbp::testing

#define TF_DWBP_TEST(name)                                                        \
  static void name();                                                             \
  static const ::tf_dwbp::testing::Registration registration_##name(#name, name); \
  static void name()

// A test of what the others have reached.
#define TF_DWBP_LAST_TEST(name)                                                         \
  static void name();                                                                   \
  static const ::tf_dwbp::testing::Registration registration_##name(#name, name, true); \
  static void name()
