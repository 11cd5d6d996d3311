// What the filter links along an axis, and the tiles of columns that the filter gradient makes of
// it, against trying every position and tap.

#include <algorithm>
#include <string>
#include <vector>

#include "cc/cpu/filter_grad_axis.h"
#include "cc/cpu/filter_grad_columns.h"
#include "cc/tests/compare.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

using cpu::Range;
using cpu::TapSet;

bool is_inside(const Axis& axis, int64_t in) { return in >= 0 && in < axis.in; }

TF_DWBP_TEST(positions_are_linked_and_met_as_defined) {
  for (const Axis& axis : planned_axes()) {
    const std::string text = describe(axis);
    const int64_t step = std::max<int64_t>(1, axis.out / 13);
    for (int64_t begin = 0; begin < axis.out; begin += step)
      for (int64_t end = begin + 1; end <= axis.out; end += step) {
        const Range hull = met_of(axis, begin, end);
        const Range met = cpu::met(axis, begin, end);
        const int64_t size = std::max<int64_t>(0, hull.size());
        check(met.size() == size && (size == 0 || met.begin == hull.begin), text + ", met");
        check(met.begin >= 0 && met.end <= axis.in, text + ", met, within the input");
        for (int64_t k = 0; k < axis.filter; ++k) {
          const Range linked = cpu::linked(axis, k, begin, end);
          check(begin <= linked.begin && linked.begin <= linked.end && linked.end <= end,
                text + ", linked, within the range");
          for (int64_t o = begin; o < end; ++o) {
            check((linked.begin <= o && o < linked.end) == is_inside(axis, linked_by(axis, o, k)),
                  text + ", linked");
          }
        }
      }
  }
}

TF_DWBP_TEST(rows_are_counted_through_images) {
  for (const int64_t rows : {1, 3, 7})
    for (int64_t begin = 0; begin < 10; ++begin)
      for (int64_t end = begin; end < 25; ++end) {
        int64_t next = begin, last_image = begin / rows - 1;
        bool good = true;
        cpu::for_images(rows, begin, end, [&](int64_t image, int64_t first, int64_t last) {
          good &= image == ++last_image && first < last && last <= rows;
          good &= image * rows + first == next;
          next = image * rows + last;
        });
        check(good && next == end, "each row once");
      }
}

// Each link of a column and a tap of the set, in one tile, and nothing else.
void check_column_tiles(const Axis& axis, TapSet taps, Range columns, int64_t wide) {
  const std::string text = describe(axis) + ", taps " + std::to_string(taps.first) + " and " +
                           std::to_string(taps.count - 1) + " more, columns " +
                           std::to_string(columns.begin) + " to " + std::to_string(columns.end);
  constexpr int64_t kOut = 100000, kSource = 3000;  // strides
  const cpu::ColumnView view{columns.begin, kOut, 5, kSource};
  std::vector<cpu::FilterGradTile> tiles(columns.size());
  const cpu::ColumnTiles made = make_column_tiles(axis, taps, columns, wide, view, tiles.data());
  check(made.count <= columns.size() && made.tiles == tiles.data(), text + ", room");
  check(made.out_column_stride % kOut == 0 && made.source_column_stride % kSource == 0,
        text + ", strides");
  const int64_t period = made.out_column_stride / kOut, step = made.source_column_stride / kSource;
  // From a column of a tile to the next, columns that are held.
  const int64_t shift = taps.count == 1 ? 1 : axis.reduced_stride();
  std::vector<int64_t> links(columns.size() * taps.count, 0);
  int64_t narrow = 0;
  for (int64_t t = 0; t < made.count; ++t) {
    const cpu::FilterGradTile& tile = tiles[t];
    const int64_t first = tile.out / kOut + columns.begin, source = tile.source / kSource + 5;
    const int64_t width = tile.wide ? wide : 1;
    narrow += tile.wide ? 0 : 1;
    const int64_t held = (width - 1) * shift + taps.count;
    check(tile.inside != 0 && tile.inside >> held == 0, text + ", held columns");
    for (int64_t x = 0; x < width; ++x) {
      const int64_t column = first + x * period;
      check(column >= columns.begin && column < columns.end, text + ", a column of the block");
      for (int64_t k = 0; k < taps.count; ++k) {
        const int64_t j = x * shift + k;
        const int64_t in = linked_by(axis, column, taps.first + k);
        check((tile.inside >> j & 1) == static_cast<uint32_t>(is_inside(axis, in)),
              text + ", mask");
        if (!is_inside(axis, in)) continue;
        check(source + j * step == in, text + ", where");
        ++links[(column - columns.begin) * taps.count + k];
      }
    }
  }
  check(narrow < wide * period, text + ", wide tiles where they fit");
  for (int64_t x = columns.begin; x < columns.end; ++x)
    for (int64_t k = 0; k < taps.count; ++k) {
      check(links[(x - columns.begin) * taps.count + k] ==
                static_cast<int64_t>(is_inside(axis, linked_by(axis, x, taps.first + k))),
            text + ", each link once");
    }
}

TF_DWBP_TEST(filter_grad_tiles_have_each_link_once) {
  for (const Axis& axis : planned_axes())
    for (const int64_t wide : {4, 7})
      for (const Range columns : {Range{0, axis.out}, Range{axis.out / 3, axis.out},
                                  Range{axis.out / 2, axis.out / 2 + 1}}) {
        if (columns.size() > 256) continue;
        for (int64_t k = 0; k < axis.filter; ++k) check_column_tiles(axis, {k, 1}, columns, wide);
        if (axis.reduced_stride() > cpu::kMostDirectShift) continue;
        for (const int64_t count : {3, 5, 7}) {
          for (int64_t k = 0; k + count <= axis.filter; ++k) {
            check_column_tiles(axis, {k, count}, columns, wide);
          }
        }
      }
}

}  // namespace
}  // namespace tf_dwbp::testing
