// Calls of the CPU kernels, compared with the definition.
#pragma once

#include <string>
#include <vector>

#include "cc/cpu/depthwise.h"
#include "cc/cpu/eigen.h"
#include "cc/cpu/implementations.h"
#include "cc/tests/check.h"
#include "cc/tests/example.h"
#include "cc/tests/pool.h"

namespace tf_dwbp::testing {

// How a call is made: planned for so many workers, run by those who are offered, on tensors that
// lie so many elements after a multiple of 64 bytes.
struct How {
  int64_t workers = 1;
  cpu::Parallel parallel{1, nullptr};
  const cpu::Implementation* implementation = nullptr;  // the first that takes it
  Offsets offsets = {};
};

// By the calling thread alone.
inline const How& serially() {
  static const How how;
  return how;
}

// Planned for, and run by, so many threads.
inline How by_threads(int64_t threads) { return {threads, shared_pool().parallel(threads)}; }

// The same, by the implementation on Eigen.
inline How on_eigen(How how) {
  static const cpu::Implementation kEigen{"eigen", cpu::eigen_declines, cpu::plan_eigen};
  how.implementation = &kEigen;
  return how;
}

// As the program was asked to.
inline How as_asked() {
  return options().workers == 1 ? serially() : by_threads(options().workers);
}

inline cpu::PlanPointer plan(const conv::Problem& problem, const How& how) {
  const cpu::Implementation* by = how.implementation;
  if (by == nullptr) check(cpu::choose(problem, &by).empty(), to_text(problem));
  return by->plan(problem, how.workers);
}

// The result of a call, whose operands have to be left as they were.
template <typename T>
std::vector<T> call(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b,
                    const How& how = as_asked(), const conv::Epilogue& epilogue = {},
                    const std::vector<T>& bias = {}) {
  const cpu::PlanPointer planned = plan({op, dtype_of(T()), g, epilogue}, how);
  const Memory workspace(planned->workspace_bytes);
  return call_on<T>(
      op, g, a, b, how.offsets, workspace,
      [&](const cpu::Tensors& tensors) { cpu::run(*planned, tensors, how.parallel); }, bias);
}

template <typename T>
bool solved(const Example& example, const How& how = as_asked()) {
  return example.solved_by<T>(
      [&](Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b) {
        return call<T>(op, g, a, b, how, example.epilogue, operand<T>(example.bias));
      });
}

template <typename T>
void compare(const Example& example, const How& how = as_asked()) {
  check(solved<T>(example, how), describe(example.op, example.g) + ", " + type_name<T>() + ", " +
                                     std::to_string(how.workers) + " workers");
}

template <typename T>
void compare(Op op, const Geometry& g, const How& how = as_asked()) {
  compare<T>(Example(op, g), how);
}

template <typename T>
void compare(const Geometry& g, const How& how = as_asked()) {
  for (const Op op : kAllOps) compare<T>(op, g, how);
}

// All ops, in all types and layouts.
inline void compare_all(Geometry g, const How& how = as_asked()) {
  for (const Layout layout : kLayouts) {
    g.layout = layout;
    for (const Op op : kAllOps) {
      const Example example(op, g);
      compare<Half>(example, how);
      compare<Bfloat16>(example, how);
      compare<float>(example, how);
      compare<double>(example, how);
    }
  }
}

}  // namespace tf_dwbp::testing
