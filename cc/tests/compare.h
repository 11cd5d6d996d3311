// Calls of the CPU kernels, compared with the definition. Buffers are exactly as large as the
// tensors, and as the workspace that was asked for.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "cc/cpu/depthwise.h"
#include "cc/cpu/eigen.h"
#include "cc/cpu/implementations.h"
#include "cc/tests/check.h"
#include "cc/tests/definition.h"
#include "cc/tests/memory.h"
#include "cc/tests/pool.h"

namespace tf_dwbp::testing {

// How a call is made: planned for so many workers, run by those who are offered, on tensors that
// lie so many elements after a multiple of 64 bytes.
struct How {
  int64_t workers = 1;
  cpu::Parallel parallel{1, nullptr};
  const cpu::Implementation* implementation = nullptr;  // the first that takes it
  int64_t a_offset = 0;
  int64_t b_offset = 0;
  int64_t result_offset = 0;
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

template <typename T>
std::string type_name() {
  return name_of(dtype_of(T()));
}

// A copy of a tensor in memory of its own.
template <typename T>
class Tensor {
 public:
  explicit Tensor(int64_t elements, int64_t offset = 0)
      : memory_(elements * sizeof(T), offset * sizeof(T)), elements_(elements) {}
  Tensor(const std::vector<T>& values, int64_t offset = 0)
      : Tensor(static_cast<int64_t>(values.size()), offset) {
    if (!values.empty()) std::memcpy(data(), values.data(), values.size() * sizeof(T));
  }
  T* data() const { return memory_.template as<T>(); }
  bool intact() const { return memory_.intact(); }
  bool equals(const std::vector<T>& values) const {
    return values.empty() || std::memcmp(data(), values.data(), values.size() * sizeof(T)) == 0;
  }
  std::vector<T> values() const { return std::vector<T>(data(), data() + elements_); }

 private:
  Memory memory_;
  int64_t elements_;
};

template <typename T>
std::vector<T> to(const std::vector<int>& values) {
  std::vector<T> converted(values.size());
  std::transform(values.begin(), values.end(), converted.begin(), from_int<T>);
  return converted;
}

// Zeros of either sign: a product is -0 as often, but a sum begins with +0 and so is never that.
template <typename T>
std::vector<T> operand(const std::vector<int>& values) {
  std::vector<T> converted = to<T>(values);
  for (size_t i = 0; i < values.size(); i += 2) {
    if (values[i] == 0) converted[i] = minus_zero<T>();
  }
  return converted;
}

inline cpu::PlanPointer plan(const conv::Problem& problem, const How& how) {
  const cpu::Implementation* by = how.implementation;
  if (by == nullptr) check(cpu::choose(problem, &by).empty(), to_text(problem));
  return by->plan(problem, how.workers);
}

// The result of a call, whose operands have to be left as they were.
template <typename T>
std::vector<T> call(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b,
                    const How& how = as_asked()) {
  const Tensor<T> a_tensor(a, how.a_offset), b_tensor(b, how.b_offset);
  const Tensor<T> result(elements_of(result_of(op), g), how.result_offset);
  const cpu::PlanPointer planned = plan({op, dtype_of(T()), g}, how);
  const Memory workspace(planned->workspace_bytes);
  cpu::run(*planned, {a_tensor.data(), b_tensor.data(), result.data(), workspace.data()},
           how.parallel);
  if (!workspace.intact()) check(false, describe(op, g) + ": written beyond the workspace");
  if (!result.intact()) check(false, describe(op, g) + ": written beyond the result");
  if (!a_tensor.intact() || !b_tensor.intact() || !a_tensor.equals(a) || !b_tensor.equals(b)) {
    check(false, describe(op, g) + ": written to an operand");
  }
  return result.values();
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// A call on small integers, and its one right result.
struct Example {
  Op op;
  Geometry g;
  std::vector<int> a, b, expected;

  Example(Op op, const Geometry& g) : op(op), g(g) {
    const auto [first, second] = operands_of(op);
    a = pattern(elements_of(first, g), 1);
    b = pattern(elements_of(second, g), 2);
    expected = by_definition(op, g, a, b);
  }

  template <typename T>
  bool solved(const How& how = as_asked()) const {
    return same_bits(call<T>(op, g, operand<T>(a), operand<T>(b), how), to<T>(expected));
  }

  template <typename T>
  void compare(const How& how = as_asked()) const {
    check(solved<T>(how), describe(op, g) + ", " + type_name<T>() + ", " +
                              std::to_string(how.workers) + " workers");
  }
};

template <typename T>
void compare(Op op, const Geometry& g, const How& how = as_asked()) {
  Example(op, g).compare<T>(how);
}

template <typename T>
void compare(const Geometry& g, const How& how = as_asked()) {
  for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) compare<T>(op, g, how);
}

// All ops, in all types and layouts.
inline void compare_all(Geometry g, const How& how = as_asked()) {
  for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
    g.layout = layout;
    for (const Op op : {Op::kForward, Op::kInputGrad, Op::kFilterGrad}) {
      const Example example(op, g);
      example.compare<Half>(how);
      example.compare<Bfloat16>(how);
      example.compare<float>(how);
      example.compare<double>(how);
    }
  }
}

}  // namespace tf_dwbp::testing
