#include "cc/cpu/depthwise.h"

#include <cstring>
#include <vector>

#include "cc/cpu/gather.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gathering;
using conv::Geometry;
using conv::Layout;
using conv::Op;

float widen(Half h) {
  _Float16 f;
  std::memcpy(&f, &h, 2);
  return f;
}
float widen(Bfloat16 b) {
  const uint32_t bits = uint32_t{b.bits} << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
float widen(float f) { return f; }
double widen(double d) { return d; }
void narrow(double d, Half* h) {
  const _Float16 f = static_cast<float>(d);
  std::memcpy(h, &f, 2);
}
void narrow(double d, Bfloat16* b) {
  const float f = d;
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if (f != f) {
    b->bits = 0x7fc0;
    return;
  }
  b->bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
void narrow(double d, float* f) { *f = d; }
void narrow(double d, double* f) { *f = d; }

template <typename T>
void naive(Op op, const Geometry& g, const T* a, const T* b, T* result) {
  const bool nhwc = g.layout == Layout::kNHWC;
  const auto &h = g.height, &w = g.width;
  std::vector<double> sums(op == Op::kForward ? g.output_elements() : g.filter_elements());
  for (int64_t n = 0; n < g.batch; ++n)
    for (int64_t oy = 0; oy < h.out; ++oy)
      for (int64_t ox = 0; ox < w.out; ++ox)
        for (int64_t ky = 0; ky < h.filter; ++ky)
          for (int64_t kx = 0; kx < w.filter; ++kx) {
            const int64_t iy = oy * h.stride + ky * h.dilation - h.pad_before;
            const int64_t ix = ox * w.stride + kx * w.dilation - w.pad_before;
            if (iy < 0 || iy >= h.in || ix < 0 || ix >= w.in) continue;
            for (int64_t c = 0; c < g.channels; ++c)
              for (int64_t m = 0; m < g.multiplier; ++m) {
                const int64_t oc = c * g.multiplier + m;
                const int64_t f = (ky * w.filter + kx) * g.out_channels() + oc;
                const int64_t i = nhwc ? ((n * h.in + iy) * w.in + ix) * g.channels + c
                                       : ((n * g.channels + c) * h.in + iy) * w.in + ix;
                const int64_t o = nhwc ? ((n * h.out + oy) * w.out + ox) * g.out_channels() + oc
                                       : ((n * g.out_channels() + oc) * h.out + oy) * w.out + ox;
                if (op == Op::kForward) {
                  sums[o] += static_cast<double>(widen(a[i])) * widen(b[f]);
                } else {
                  sums[f] += static_cast<double>(widen(a[i])) * widen(b[o]);
                }
              }
          }
  for (size_t i = 0; i < sums.size(); ++i) narrow(sums[i], &result[i]);
}

}  // namespace

template <typename T>
int64_t workspace_bytes(Op op, const Geometry& g, int64_t workers) {
  switch (op) {
    case Op::kForward:
      return gather_workspace_bytes<T>(Gathering::forward(g), workers);
    case Op::kInputGrad:
      return gather_workspace_bytes<T>(Gathering::input_grad(g), workers);
    default:
      return 0;
  }
}

template <typename T>
void run(Op op, const Geometry& g, const T* a, const T* b, T* result, void* workspace,
         const Parallel& parallel) {
  switch (op) {
    case Op::kForward:
      return gather<T>(Gathering::forward(g), b, a, result, workspace, parallel);
    case Op::kInputGrad:
      return gather<T>(Gathering::input_grad(g), a, b, result, workspace, parallel);
    default:
      naive<T>(op, g, a, b, result);
  }
}

#define TF_DWBP_INSTANTIATE(T)                                       \
  template int64_t workspace_bytes<T>(Op, const Geometry&, int64_t); \
  template void run<T>(Op, const Geometry&, const T*, const T*, T*, void*, const Parallel&)
TF_DWBP_INSTANTIATE(Half);
TF_DWBP_INSTANTIATE(Bfloat16);
TF_DWBP_INSTANTIATE(float);
TF_DWBP_INSTANTIATE(double);
#undef TF_DWBP_INSTANTIATE

}  // namespace tf_dwbp::cpu
