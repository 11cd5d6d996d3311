#include "cc/cpu/filter_columns.h"

#include <algorithm>
#include <numeric>

namespace tf_dwbp::cpu {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

// Columns `period` apart meet columns of the input that are `shift` steps apart, and so share them.
ColumnPlan plan_columns(const conv::Axis& axis, TapSet taps, int64_t begin, int64_t end,
                        int64_t wide, const ColumnView& view) {
  const int64_t gcd = std::gcd(axis.stride, axis.dilation);
  const bool one = taps.count == 1;
  const int64_t period = one ? 1 : std::min(axis.dilation / gcd, end - begin);
  const int64_t shift = one ? 1 : axis.stride / gcd;
  // A stride that is never taken may be of any size.
  const int64_t step = !one ? axis.dilation : end - begin > 1 ? axis.stride : 0;
  ColumnPlan plan{period * view.out_column, step * view.source_column, {}};
  for (int64_t first = begin; first < begin + period; ++first) {
    const int64_t columns = divide_up(end - first, period);
    for (int64_t i = 0; i < columns;) {
      const bool is_wide = i + wide <= columns;
      const int64_t x = first + i * period;
      const int64_t source = x * axis.stride + taps.first * axis.dilation - axis.pad_before;
      FilterTile tile{(x - view.out_first) * view.out_column,
                      (source - view.source_first) * view.source_column, 0, is_wide};
      const int64_t held = (is_wide ? (wide - 1) * shift : 0) + taps.count;
      for (int64_t j = 0; j < held; ++j) {
        const int64_t column = source + j * step;
        if (column >= 0 && column < axis.in) tile.inside |= uint32_t{1} << j;
      }
      if (tile.inside != 0) plan.tiles.push_back(tile);
      i += is_wide ? wide : 1;
    }
  }
  return plan;
}

}  // namespace tf_dwbp::cpu
