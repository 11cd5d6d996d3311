// Calls on small integers and their one right result, for kernels on every device; and how tensors
// are given to kernels: exactly as large as they are, among memory that nobody may touch.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "cc/conv/tensors.h"
#include "cc/tests/check.h"
#include "cc/tests/definition.h"
#include "cc/tests/epilogue.h"
#include "cc/tests/memory.h"

namespace tf_dwbp::testing {

inline constexpr Op kAllOps[] = {Op::kForward, Op::kInputGrad, Op::kFilterGrad};
inline constexpr Layout kLayouts[] = {Layout::kNHWC, Layout::kNCHW};

template <typename T>
std::string type_name() {
  return name_of(dtype_of(T()));
}

// A copy of a tensor in memory of its own, so many elements after a multiple of 64 bytes.
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

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Where the tensors of a call begin, in elements after a multiple of 64 bytes.
struct Offsets {
  int64_t a = 0;
  int64_t b = 0;
  int64_t result = 0;
};

// The result of a call, whose operands have to be left as they were. `run` is given the tensors
// (conv::Tensors), of a device whose memory is this program's.
template <typename T, typename Run>
std::vector<T> call_on(Op op, const Geometry& g, const std::vector<T>& a, const std::vector<T>& b,
                       const Offsets& offsets, const Memory& workspace, const Run& run,
                       const std::vector<T>& bias = {}) {
  const Tensor<T> a_tensor(a, offsets.a), b_tensor(b, offsets.b), bias_tensor(bias, offsets.b);
  const Tensor<T> result(elements_of(result_of(op), g), offsets.result);
  run(conv::Tensors{a_tensor.data(), b_tensor.data(), result.data(), workspace.data(),
                    bias_tensor.data()});
  if (!workspace.intact()) check(false, describe(op, g) + ": written beyond the workspace");
  if (!result.intact()) check(false, describe(op, g) + ": written beyond the result");
  if (!a_tensor.intact() || !b_tensor.intact() || !bias_tensor.intact() || !a_tensor.equals(a) ||
      !b_tensor.equals(b) || !bias_tensor.equals(bias)) {
    check(false, describe(op, g) + ": written to an operand");
  }
  return result.values();
}

struct Example {
  Op op;
  Geometry g;
  conv::Epilogue epilogue;
  std::vector<int> a, b, bias;
  std::vector<int> expected;  // before the epilogue

  Example(Op op, const Geometry& g, const conv::Epilogue& epilogue = {})
      : op(op), g(g), epilogue(epilogue) {
    const auto [first, second] = operands_of(op);
    a = pattern(elements_of(first, g), 1);
    b = pattern(elements_of(second, g), 2);
    if (epilogue.bias) bias = pattern(g.out_channels(), 3);
    expected = by_definition(op, g, a, b);
  }

  // Whether `call` makes the right result of the operands; `loose`: see units_allowed().
  template <typename T, typename Call>
  bool solved_by(const Call& call, bool loose = false) const {
    const std::vector<T> result = call(op, g, operand<T>(a), operand<T>(b));
    return epilogue.empty() ? same_bits<T>(result, to<T>(expected))
                            : finished_right(epilogue, g, expected, bias, result, loose);
  }
};

}  // namespace tf_dwbp::testing
