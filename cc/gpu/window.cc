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
  for (const int64_t size : {a.in, a.out, a.pad_before}) {
    const std::string why = beyond_most(size, kMostPositions, " rows, columns or paddings");
    if (!why.empty()) return why;
  }
  const std::string why = beyond_most(a.dilation, kMostPhases, " phases of a dilation");
  if (!why.empty()) return why;
  const int taps = static_cast<int>(a.filter), stride = static_cast<int>(a.stride);
  const int in = static_cast<int>(a.in), out = static_cast<int>(a.out);
  const int dilation = static_cast<int>(a.dilation), pad_before = static_cast<int>(a.pad_before);
  if (op != Op::kInputGrad) {
    *configuration = {taps, stride, 1};
    *axis = {out, in, 0, -pad_before, dilation};
    return "";
  }
  // From the first tap to the last, in positions of the input.
  const int reach = (taps - 1) * dilation;
  if (stride == 1) {
    *configuration = {taps, 1, 1};
    *axis = {in, out, 0, pad_before - reach, dilation};
    return "";
  }
  // j counts from a multiple of the stride, so that its taps are known at compile time; the
  // window's first source is a whole number only if the taps agree with the stride.
  if (reach % stride != 0) {
    return std::to_string(taps) + " taps do not begin and end at the same phase of stride " +
           std::to_string(stride);
  }
  const int aligned = pad_before / stride * stride;
  *configuration = {taps, 1, stride};
  *axis = {in, out, aligned - pad_before, (aligned - reach) / stride, 1};
  return "";
}

}  // namespace

std::string beyond_most(int64_t value, int64_t most, const std::string& what) {
  if (value <= most) return "";
  return std::to_string(value) + what + " are more than the " + std::to_string(most) +
         " that kernels count";
}

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

Windows windows_of(const conv::Problem& problem) {
  Windows windows;
  find_windows(problem, &windows);  // nothing is declined here
  return windows;
}

int index_for(Op op, const Configuration& configuration) {
  return op == Op::kFilterGrad ? index_of(configuration, kFilterGradConfigurations)
                               : index_of(configuration, kGatherConfigurations);
}

void align(const Configuration& c, int vector, WindowAxis* axis) {
  if (!reads_vectors(c) || axis->phase_stride != 1) return;
  const int back = (axis->source_origin + lead_of(c, *axis)) & (vector - 1);
  axis->source_origin -= back;
  axis->result_origin -= back / c.result_step;
}

}  // namespace tf_dwbp::gpu
