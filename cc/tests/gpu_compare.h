// Calls of the GPU kernels, emulated, compared with the definition.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "cc/conv/math.h"
#include "cc/gpu/depthwise.h"
#include "cc/gpu/device.h"
#include "cc/gpu/implementations.h"
#include "cc/tests/check.h"
#include "cc/tests/example.h"

namespace tf_dwbp::gpu {

using conv::Axis;
using conv::Geometry;
using conv::kDtypes;
using conv::Layout;
using conv::Op;
using conv::Operand;
using conv::Problem;
using emulator::Order;
using emulator::state;
using testing::by_definition;
using testing::check;
using testing::describe;
using testing::elements_of;
using testing::Example;
using testing::from_int;
using testing::kAllOps;
using testing::kLayouts;
using testing::Memory;
using testing::pattern;
using testing::same;
using testing::same_bits;
using testing::to;

inline constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled};

inline PlanPointer plan(const Problem& problem, const Implementation* by = nullptr) {
  if (by == nullptr) check(choose(problem, &by).empty(), to_text(problem));
  return by->plan(problem);
}

inline const Implementation& named(const std::string& name) {
  for (const Implementation& by : implementations()) {
    if (name == by.name) return by;
  }
  check(false, "there is an implementation " + name);
  return implementations().front();
}

// All that take a problem, whichever comes first.
inline std::vector<const Implementation*> takers(const Problem& problem) {
  std::vector<const Implementation*> all;
  for (const Implementation& by : implementations()) {
    if (by.declines(problem).empty()) all.push_back(&by);
  }
  check(!all.empty(), "one takes it: " + to_text(problem));
  return all;
}

// The general kernels, which take nearly all and are slow to emulate, only where no others do.
inline std::vector<const Implementation*> special_takers(const Problem& problem) {
  std::vector<const Implementation*> all = takers(problem);
  if (all.size() > 1 && all.back() == &named("general")) all.pop_back();
  return all;
}

// Launches that failed while a barrier was missing, as they should.
inline int64_t failed_launches = 0;

// The result of a call, whose operands have to be left as they were.
template <typename T>
std::vector<T> call(const Plan& plan, const std::vector<T>& a, const std::vector<T>& b,
                    int64_t shift = 0, const std::vector<T>& bias = {}) {
  const Op op = plan.problem.op;
  const Geometry& g = plan.problem.geometry;
  const Memory workspace(plan.workspace_bytes);
  return testing::call_on<T>(
      op, g, a, b, {shift, shift, shift}, workspace,
      [&](const Tensors& tensors) {
        const conv::Error error = run(plan, tensors, /*stream=*/nullptr);
        const bool may_fail = state().removed_barrier >= 0;
        failed_launches += may_fail && !error.empty();
        check(may_fail || error.empty(), describe(op, g) + ": " + error);
      },
      bias);
}

template <typename T>
std::vector<T> call(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b) {
  return call<T>(*plan({op, dtype_of(T()), g}), a, b);
}

// By the first implementation that takes it, or another.
template <typename T>
bool solved(const Example& example, int64_t shift = 0, const Implementation* by = nullptr) {
  return example.solved_by<T>(
      [&](Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b) {
        return call<T>(*plan({op, dtype_of(T()), g, example.epilogue}, by), a, b, shift,
                       testing::operand<T>(example.bias));
      },
      /*loose=*/true);
}

inline int64_t taken_again() {
  return state().counts["gather again"] + state().counts["part again"];
}

// Each call takes the next order. Nothing that is finite may come out as NaN and be taken again:
// that would hide that something was read before it was written.
template <typename T>
void compare(const Example& example, int64_t shift = 0, const Implementation* by = nullptr) {
  static int turn = 0;
  state().order = kOrders[turn % 3];
  state().seed = static_cast<uint64_t>(turn++);
  const int64_t before = taken_again();
  const std::string text = describe(example.op, example.g) + ", " + testing::type_name<T>() + " " +
                           to_text(example.epilogue) +
                           (by == nullptr ? "" : std::string(", ") + by->name);
  check(solved<T>(example, shift, by), text);
  check(taken_again() == before, text + ": taken again");
}

// By all that take it but those for any sizes, which have tests of their own, unless these are the
// only ones.
template <typename T>
void compare_special(const Example& example, int64_t shift) {
  const auto all = special_takers({example.op, dtype_of(T()), example.g});
  for (const Implementation* by : all) {
    if (by == all.front() || by != &named("staged")) compare<T>(example, shift, by);
  }
}

// Two of the types, in turn.
inline void compare_all(Geometry g, int64_t shift = 0) {
  static int turn = 0;
  const bool first = turn++ % 2 == 0;
  for (const Layout layout : kLayouts) {
    g.layout = layout;
    for (const Op op : kAllOps) {
      const Example example(op, g);
      if (first) {
        compare_special<Half>(example, shift);
        compare_special<float>(example, shift);
      } else {
        compare_special<Bfloat16>(example, shift);
        compare_special<double>(example, shift);
      }
    }
  }
}

inline Axis same_padded(int64_t in, int64_t filter, int64_t stride, int64_t dilation = 1) {
  const int64_t out = conv::ceil_div(in, stride);
  const int64_t reach = (out - 1) * stride + (filter - 1) * dilation + 1;
  return {in, out, filter, stride, dilation, std::max<int64_t>(0, reach - in) / 2};
}

}  // namespace tf_dwbp::gpu
