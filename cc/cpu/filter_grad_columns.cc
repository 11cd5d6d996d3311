#include "cc/cpu/filter_grad_columns.h"

#include <algorithm>

#include "cc/conv/math.h"

namespace tf_dwbp::cpu {

// Columns `period` apart meet columns of the input that are `shift` steps apart, and so share them.
ColumnTiles make_column_tiles(const conv::Axis& axis, TapSet taps, Range columns, int64_t wide,
                              const ColumnView& view, FilterGradTile* tiles) {
  const bool one = taps.count == 1;
  const int64_t period = one ? 1 : std::min(axis.reduced_dilation(), columns.size());
  const int64_t shift = one ? 1 : axis.reduced_stride();
  // A stride that is never taken may be of any size.
  const int64_t step = !one ? axis.dilation : columns.size() > 1 ? axis.stride : 0;
  ColumnTiles made{period * view.out_column_stride, step * view.source_column_stride, tiles, 0};
  for (int64_t first = columns.begin; first < columns.begin + period; ++first) {
    const int64_t count = conv::ceil_div(columns.end - first, period);
    for (int64_t i = 0; i < count;) {
      const bool is_wide = i + wide <= count;
      const int64_t x = first + i * period;
      const int64_t source = x * axis.stride + taps.first * axis.dilation - axis.pad_before;
      FilterGradTile tile{(x - view.out_first) * view.out_column_stride,
                          (source - view.source_first) * view.source_column_stride, 0, is_wide};
      const int64_t held = (is_wide ? (wide - 1) * shift : 0) + taps.count;
      for (int64_t j = 0; j < held; ++j) {
        const int64_t column = source + j * step;
        if (column >= 0 && column < axis.in) tile.inside |= uint32_t{1} << j;
      }
      if (tile.inside != 0) tiles[made.count++] = tile;
      i += is_wide ? wide : 1;
    }
  }
  return made;
}

}  // namespace tf_dwbp::cpu
