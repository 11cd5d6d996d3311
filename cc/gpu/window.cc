#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Axis;
using conv::Op;

// More taps, or a longer stride, than any list could have.
constexpr int64_t kMost = 64;

std::string find_along(Op op, const Axis& a, Configuration* configuration, WindowAxis* axis) {
  if (a.filter > kMost) return std::to_string(a.filter) + " taps are too many for registers";
  if (a.stride > kMost) return "no kernel is compiled for stride " + std::to_string(a.stride);
  if (a.stride > 1 && a.dilation > 1) return "stride and dilation are both above 1";
  const int taps = static_cast<int>(a.filter), stride = static_cast<int>(a.stride);
  if (op != Op::kInputGrad) {
    *configuration = {taps, stride, 1};
    *axis = {a.out, a.in, 0, -a.pad_before, a.dilation};
    return "";
  }
  // From the first tap to the last, in positions of the input.
  const int64_t reach = (a.filter - 1) * a.dilation;
  if (stride == 1) {
    *configuration = {taps, 1, 1};
    *axis = {a.in, a.out, 0, a.pad_before - reach, a.dilation};
    return "";
  }
  // j counts from a multiple of the stride, so that its taps are known at compile time; the
  // window's first source is a whole number only if the taps agree with the stride.
  if (reach % stride != 0) {
    return std::to_string(taps) + " taps do not begin and end at the same phase of stride " +
           std::to_string(stride);
  }
  const int64_t aligned = a.pad_before / stride * stride;
  *configuration = {taps, 1, stride};
  *axis = {a.in, a.out, aligned - a.pad_before, (aligned - reach) / stride, 1};
  return "";
}

}  // namespace

std::string find_windows(const conv::Problem& problem, Windows* windows) {
  const conv::Geometry& g = problem.geometry;
  if (g.multiplier != 1) return "the depth multiplier is not 1";
  Configuration of_columns;
  std::string why = find_along(problem.op, g.height, &windows->configuration, &windows->height);
  if (why.empty()) why = find_along(problem.op, g.width, &of_columns, &windows->width);
  if (why.empty() && !same(windows->configuration, of_columns)) {
    why = "rows and columns differ in taps or stride";
  }
  return why;
}

}  // namespace tf_dwbp::gpu
