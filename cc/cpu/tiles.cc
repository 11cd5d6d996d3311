#include "cc/cpu/tiles.h"

#include <algorithm>
#include <limits>

namespace tf_dwbp::cpu {
namespace {

using conv::Gather;
using conv::TapRange;

// Of all tiles but the last, which is as wide as what is left. A wide tile shares the cost of its
// taps among many columns; below eight, multiply-adds also wait for each other.
int best_width(int64_t columns) {
  int best = 1;
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (int width = 1; width <= kMaxTile; ++width) {
    const int64_t cost = (columns + width - 1) / width * (std::max(width, 7) + 2);
    if (cost < best_cost) {
      best = width;
      best_cost = cost;
    }
  }
  return best;
}

// The taps that reach any of the tile's columns; `out` may lie outside for those that they do
// not reach.
TapRange taps_of(const Gather& gather, int64_t column, int width) {
  // As columns rise, the lowest taps leave the source and higher ones enter it.
  for (int i = 0; i < width; ++i) {
    const TapRange lowest = gather.at(column + i * gather.class_step());
    if (lowest.count == 0) continue;
    for (int j = width - 1;; --j) {
      const TapRange highest = gather.at(column + j * gather.class_step());
      if (highest.count == 0) continue;
      const int64_t last = highest.tap + (highest.count - 1) * gather.tap_step();
      return {lowest.tap, lowest.source - i * gather.class_shift(),
              (last - lowest.tap) / gather.tap_step() + 1};
    }
  }
  return {};
}

}  // namespace

Tiles make_tiles(const Gather& width, int64_t begin, int64_t end, bool exact) {
  const int64_t step = width.class_step();
  Tiles made;
  int64_t low = width.source();
  int64_t high = 0;
  for (int64_t first = begin; first < std::min(end, begin + step); ++first) {
    const int64_t columns = (end - 1 - first) / step + 1;
    const int tile = exact ? 1 : best_width(columns);
    for (int64_t done = 0; done < columns;) {
      // Tiles don't overlap: their sums may be added to.
      const int size = static_cast<int>(std::min<int64_t>(tile, columns - done));
      const int64_t tiles = (columns - done) / size;
      made.classes.push_back({size, static_cast<int64_t>(made.tiles.size()), tiles});
      for (int64_t i = 0; i < tiles; ++i, done += size) {
        const int64_t column = first + done * step;
        const TapRange taps = taps_of(width, column, size);
        made.tiles.push_back({column - begin, taps});
        if (taps.count == 0) continue;
        low = std::min(low, taps.source - (taps.count - 1) * width.source_step());
        high = std::max(high, taps.source + (size - 1) * width.class_shift() + 1);
      }
    }
  }
  if (low >= high) return made;
  made.first = std::clamp<int64_t>(low, 0, width.source());
  made.columns = std::clamp<int64_t>(high, 0, width.source()) - made.first;
  made.border_left = std::max<int64_t>(0, -low);
  made.border_right = std::max<int64_t>(0, high - width.source());
  for (SumTile& tile : made.tiles) tile.taps.source -= made.first;
  return made;
}

}  // namespace tf_dwbp::cpu
