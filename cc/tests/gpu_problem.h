// Calls of the GPU kernels, emulated, and the results that they must have. Buffers are exactly as
// large as the tensors, so that a sanitizer sees any access beyond them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "cc/gpu/depthwise.h"
#include "cc/gpu/device.h"
#include "cc/tests/check.h"
#include "cc/tests/definition.h"
#include "cc/tests/emulator.h"

namespace tf_dwbp::gpu {

using conv::Axis;
using conv::Geometry;
using conv::Layout;
using conv::Op;
using conv::Operand;
using emulator::Order;
using emulator::state;
using testing::by_definition;
using testing::check;
using testing::describe;
using testing::elements_of;
using testing::from_int;
using testing::pattern;
using testing::same;

inline constexpr Op kOps[] = {Op::kForward, Op::kInputGrad, Op::kFilterGrad};
inline constexpr Layout kLayouts[] = {Layout::kNHWC, Layout::kNCHW};
inline constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled};

// Calls the op on tensors that begin `shift` elements after an aligned address.
template <typename T>
std::vector<T> call(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b,
                    int shift = 0) {
  const auto shifted = [&](std::vector<T> data) {
    data.insert(data.begin(), shift, from_int<T>(0));
    return data;
  };
  const std::vector<T> shifted_a = shifted(a), shifted_b = shifted(b);
  std::vector<T> result = shifted(std::vector<T>(elements_of(result_of(op), g), from_int<T>(77)));
  std::vector<unsigned char> workspace(workspace_bytes<T>(op, g), 0xff);
  const conv::Error error = run<T>(op, g, shifted_a.data() + shift, shifted_b.data() + shift,
                                   result.data() + shift, workspace.data(), nullptr);
  check(error.empty(), describe(op, g) + ": " + error);
  result.erase(result.begin(), result.begin() + shift);
  return result;
}

template <typename T>
std::vector<T> to(const std::vector<int>& values) {
  std::vector<T> converted(values.size());
  std::transform(values.begin(), values.end(), converted.begin(), from_int<T>);
  return converted;
}

template <typename T>
bool equal(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same<T>);
}

struct Problem {
  Op op;
  Geometry g;
  std::vector<int> a, b, expected;

  Problem(Op op, const Geometry& g) : op(op), g(g) {
    const auto [first, second] = operands_of(op);
    a = pattern(elements_of(first, g), 1);
    b = pattern(elements_of(second, g), 2);
    expected = by_definition(op, g, a, b);
  }

  template <typename T>
  bool solved(int shift = 0) const {
    return equal(call<T>(op, g, to<T>(a), to<T>(b), shift), to<T>(expected));
  }
};

inline int64_t taken_again() {
  return state().counts["gather again"] + state().counts["part again"];
}

// Each call takes the next order. Nothing that is finite may come out as NaN and be taken again:
// that would hide that something was read before it was written.
template <typename T>
void compare(const Problem& problem, int shift = 0) {
  static int turn = 0;
  state().order = kOrders[turn++ % 3];
  const int64_t before = taken_again();
  check(problem.solved<T>(shift),
        describe(problem.op, problem.g) + ", " + std::to_string(sizeof(T)) + " bytes");
  check(taken_again() == before, describe(problem.op, problem.g) + ": taken again");
}

// Two of the types, in turn.
inline void compare_all(Geometry g, int shift = 0) {
  static int turn = 0;
  const bool first = turn++ % 2 == 0;
  for (const Layout layout : kLayouts) {
    g.layout = layout;
    for (const Op op : kOps) {
      const Problem problem(op, g);
      if (first) {
        compare<Half>(problem, shift);
        compare<float>(problem, shift);
      } else {
        compare<Bfloat16>(problem, shift);
        compare<double>(problem, shift);
      }
    }
  }
}

inline Axis same_padded(int64_t in, int64_t filter, int64_t stride, int64_t dilation = 1) {
  const int64_t out = (in + stride - 1) / stride;
  const int64_t reach = (out - 1) * stride + (filter - 1) * dilation + 1;
  return {in, out, filter, stride, dilation, std::max<int64_t>(0, reach - in) / 2};
}

}  // namespace tf_dwbp::gpu
