#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {
namespace {

using conv::Axis;
using conv::Op;

struct AxisWindows {
  Configuration configuration;
  WindowAxis axis;
};

std::optional<AxisWindows> along(Op op, const Axis& a) {
  const int64_t reach = (a.filter - 1) * a.dilation;
  // More taps or a longer stride than any list could have.
  if (a.filter > 64 || a.stride > 64) return std::nullopt;
  const int taps = static_cast<int>(a.filter), stride = static_cast<int>(a.stride);
  if (stride > 1 && a.dilation > 1) return std::nullopt;
  if (op != Op::kInputGrad) {
    return AxisWindows{{taps, stride, 1}, {a.out, a.in, 0, -a.pad_before, a.dilation}};
  }
  if (stride == 1) {
    return AxisWindows{{taps, 1, 1}, {a.in, a.out, 0, a.pad_before - reach, a.dilation}};
  }
  // j counts from a multiple of the stride, so that its class is known at compile time; the
  // window's first source is a whole number only if the taps agree with the stride.
  if (reach % stride != 0) return std::nullopt;
  const int64_t aligned = a.pad_before / stride * stride;
  return AxisWindows{{taps, 1, stride},
                     {a.in, a.out, aligned - a.pad_before, (aligned - reach) / stride, 1}};
}

}  // namespace

std::optional<Windows> windows_of(Op op, const conv::Geometry& g) {
  if (g.multiplier != 1) return std::nullopt;
  const auto height = along(op, g.height), width = along(op, g.width);
  if (!height || !width || !same(height->configuration, width->configuration)) return std::nullopt;
  return Windows{height->configuration, height->axis, width->axis};
}

}  // namespace tf_dwbp::gpu
