// Just enough of a test framework for a program that has to build in seconds with any compiler.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace tf_dwbp::testing {

// Counts a check; prints `what` where it failed.
void check(bool passed, const std::string& what);

// Whether to take one of a long test's cases: all, or one in so many as TF_DWBP_TEST_ONE_OF says,
// for emulators, which need minutes for what a machine does in seconds.
bool sampled();

struct Test {
  const char* name;
  std::function<void()> run;
};

// The tests of the program, in the order in which they were registered.
std::vector<Test>& tests();

struct Registration {
  Registration(const char* name, std::function<void()> run) { tests().push_back({name, run}); }
};

}  // namespace tf_dwbp::testing

#define TF_DWBP_TEST(name)                                                        \
  static void name();                                                             \
  static const ::tf_dwbp::testing::Registration registration_##name(#name, name); \
  static void name()
