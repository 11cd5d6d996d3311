#include "cc/cpu/packed_tiles.h"

#include <algorithm>
#include <limits>

#include "cc/conv/math.h"
#include "cc/cpu/kernels/kernels.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gather;
using conv::TapRange;

// Of all tiles but the last, which is as wide as what is left. A wide tile shares the cost of its
// taps among many columns.
int best_width(int64_t columns) {
  int best = 1;
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (int width = 1; width <= kMostPackedColumns; ++width) {
    const int64_t cost =
        conv::ceil_div(columns, width) * (std::max(width, kLeastPackedTileCost) + kPackedTileCost);
    if (cost < best_cost) {
      best = width;
      best_cost = cost;
    }
  }
  return best;
}

// The taps that reach any of the tile's columns. Its source positions may lie outside for columns
// that they do not reach.
TapRange taps_of(const Gather& gather, int64_t column, int width) {
  // As columns rise, the lowest taps leave the source and higher ones enter it.
  for (int i = 0; i < width; ++i) {
    const TapRange lowest = gather.at(column + i * gather.phase_stride());
    if (lowest.count == 0) continue;
    for (int j = width - 1;; --j) {
      const TapRange highest = gather.at(column + j * gather.phase_stride());
      if (highest.count == 0) continue;
      const int64_t last = highest.tap + (highest.count - 1) * gather.tap_step();
      return {lowest.tap, lowest.source - i * gather.phase_shift(),
              (last - lowest.tap) / gather.tap_step() + 1};
    }
  }
  return {};
}

// For each tap of the tile a bit for each column: whether it gathers from inside the source.
// Nothing where all do.
void add_masks(const Gather& gather, ColumnTile* tile, int width, std::vector<uint32_t>* masks) {
  const TapRange& taps = tile->taps;
  const int64_t lowest = taps.source - (taps.count - 1) * gather.source_step();
  const int64_t highest = taps.source + (width - 1) * gather.phase_shift();
  if (taps.count == 0 || (lowest >= 0 && highest < gather.source())) return;
  tile->first_mask = static_cast<int64_t>(masks->size());
  for (int64_t i = 0; i < taps.count; ++i) {
    uint32_t mask = 0;
    for (int x = 0; x < width; ++x) {
      const int64_t from = taps.source - i * gather.source_step() + x * gather.phase_shift();
      if (from >= 0 && from < gather.source()) mask |= uint32_t{1} << x;
    }
    masks->push_back(mask);
  }
}

}  // namespace

SourceColumns source_columns(const Gather& width, int64_t begin, int64_t end) {
  int64_t low = width.source();
  int64_t high = 0;
  for (int64_t column = begin; column < end; ++column) {
    const TapRange taps = width.at(column);
    if (taps.count == 0) continue;
    low = std::min(low, taps.source - (taps.count - 1) * width.source_step());
    high = std::max(high, taps.source + 1);
  }
  return low < high ? SourceColumns{low, high - low} : SourceColumns{};
}

ColumnBlock::ColumnBlock(const Gather& width, int64_t begin, int64_t end)
    : first(begin), count(end - begin), source(source_columns(width, begin, end)) {
  const int64_t stride = width.phase_stride();
  for (int64_t column = begin; column < std::min(end, begin + stride); ++column) {
    const int64_t columns = (end - 1 - column) / stride + 1;
    const int widest = best_width(columns);
    for (int64_t done = 0; done < columns;) {
      // Tiles don't overlap: their sums may be added to.
      const int size = static_cast<int>(std::min<int64_t>(widest, columns - done));
      const int64_t same = (columns - done) / size;
      phases.push_back({size, static_cast<int64_t>(tiles.size()), same});
      for (int64_t i = 0; i < same; ++i, done += size) {
        const int64_t at = column + done * stride;
        ColumnTile tile{at - begin, taps_of(width, at, size)};
        add_masks(width, &tile, size, &masks);
        tile.taps.source -= source.first;
        tiles.push_back(tile);
      }
    }
  }
}

}  // namespace tf_dwbp::cpu
