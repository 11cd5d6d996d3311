// In a layout of its own, so that the innermost loop is the same, and long, for every call.
// Programs that look for faults have this file as fast as it can be, and do not watch it.

#include "cc/tests/definition.h"

#include <algorithm>
#include <memory>

namespace tf_dwbp::testing {
namespace {

using conv::Operand;

// A tensor as [y][x][lane]: a lane is one multiple of one channel of one image, for the filter
// too. Sums and products of small integers are exact in float.
struct Laned {
  int64_t height, width, lanes;
  std::unique_ptr<float[]> values;

  Laned(int64_t height, int64_t width, int64_t lanes)
      : height(height), width(width), lanes(lanes), values(new float[height * width * lanes]()) {}
  float* at(int64_t y, int64_t x) const { return values.get() + (y * width + x) * lanes; }
};

// Calls `f(index in the tensor, y, x, lane)` for all that stand for an element of the tensor.
template <typename Function>
void for_each(Operand operand, const Geometry& g, const Function& f) {
  const bool filter = operand == Operand::kFilter;
  const bool input = operand == Operand::kInput;
  const int64_t height = filter ? g.height.filter : input ? g.height.in : g.height.out;
  const int64_t width = filter ? g.width.filter : input ? g.width.in : g.width.out;
  const int64_t all = g.out_channels();
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t n = 0; n < g.batch; ++n)
        for (int64_t channel = 0; channel < all; ++channel) {
          const int64_t index =
              filter  ? (y * width + x) * all + channel
              : input ? offset(g.layout, n, y, x, channel / g.multiplier, height, width, g.channels)
                      : offset(g.layout, n, y, x, channel, height, width, all);
          f(index, y, x, n * all + channel);
        }
}

Laned empty(Operand operand, const Geometry& g) {
  const int64_t lanes = g.batch * g.out_channels();
  return operand == Operand::kFilter  ? Laned(g.height.filter, g.width.filter, lanes)
         : operand == Operand::kInput ? Laned(g.height.in, g.width.in, lanes)
                                      : Laned(g.height.out, g.width.out, lanes);
}

Laned spread(Operand operand, const Geometry& g, const std::vector<int>& tensor) {
  Laned made = empty(operand, g);
  const int* const from = tensor.data();
  for_each(operand, g, [&](int64_t index, int64_t y, int64_t x, int64_t lane) {
    made.at(y, x)[lane] = static_cast<float>(from[index]);
  });
  return made;
}

void add_products(const float* __restrict a, const float* __restrict b, float* __restrict to,
                  int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += a[i] * b[i];
}

}  // namespace

std::vector<int> by_definition(Op op, const Geometry& g, const std::vector<int>& a,
                               const std::vector<int>& b) {
  const Operand wanted = result_of(op);
  std::vector<int> result(elements_of(wanted, g));
  const Operand first = operands_of(op).a;
  const auto laned = [&](Operand operand) {
    return operand == wanted ? empty(operand, g) : spread(operand, g, operand == first ? a : b);
  };
  const Laned input = laned(Operand::kInput), filter = laned(Operand::kFilter);
  const Laned output = laned(Operand::kOutput);
  const Axis &h = g.height, &w = g.width;
  for (int64_t oy = 0; oy < h.out; ++oy)
    for (int64_t ky = 0; ky < h.filter; ++ky) {
      const int64_t iy = oy * h.stride + ky * h.dilation - h.pad_before;
      if (iy < 0 || iy >= h.in) continue;
      for (int64_t ox = 0; ox < w.out; ++ox)
        for (int64_t kx = 0; kx < w.filter; ++kx) {
          const int64_t ix = ox * w.stride + kx * w.dilation - w.pad_before;
          if (ix < 0 || ix >= w.in) continue;
          float *const i = input.at(iy, ix), *const f = filter.at(ky, kx),
                       *const o = output.at(oy, ox);
          switch (op) {
            case Op::kForward:
              add_products(i, f, o, input.lanes);
              break;
            case Op::kInputGrad:
              add_products(f, o, i, input.lanes);
              break;
            case Op::kFilterGrad:
              add_products(i, o, f, input.lanes);
              break;
          }
        }
    }
  const Laned& sums = wanted == Operand::kInput    ? input
                      : wanted == Operand::kFilter ? filter
                                                   : output;
  int* const to = result.data();
  for_each(wanted, g, [&](int64_t index, int64_t y, int64_t x, int64_t lane) {
    to[index] += static_cast<int>(sums.at(y, x)[lane]);
  });
  return result;
}

}  // namespace tf_dwbp::testing
