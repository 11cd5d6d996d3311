#include "cc/cpu/filter_grad_axis.h"

namespace tf_dwbp::cpu {

Range linked(const conv::Axis& axis, int64_t k, int64_t begin, int64_t end) {
  // position * stride >= -first, and < in - first
  const int64_t first = k * axis.dilation - axis.pad_before;
  const auto at_least = [&](int64_t n) { return n <= 0 ? 0 : (n + axis.stride - 1) / axis.stride; };
  const int64_t from = std::clamp(at_least(-first), begin, end);
  return {from, std::clamp(at_least(axis.in - first), from, end)};
}

Range met(const conv::Axis& axis, int64_t begin, int64_t end) {
  const int64_t first = begin * axis.stride - axis.pad_before;
  const int64_t last =
      (end - 1) * axis.stride + (axis.filter - 1) * axis.dilation - axis.pad_before;
  const int64_t from = std::clamp<int64_t>(first, 0, axis.in);
  return {from, std::clamp(last + 1, from, axis.in)};
}

}  // namespace tf_dwbp::cpu
