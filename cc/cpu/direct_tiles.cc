#include "cc/cpu/direct_tiles.h"

#include <algorithm>
#include <limits>

#include "cc/conv/math.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

using conv::ceil_div;
using conv::Gather;
using conv::TapRange;

namespace {

// Tiles may overlap, so that all are of one width.
int best_width(int64_t columns, int most) {
  int best = 1;
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (int width = 1; width <= most; ++width) {
    const int64_t cost = ceil_div(columns, width) * (width + kDirectTileCost);
    if (cost <= best_cost) {
      best = width;
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace

bool alternate(const Gather& axis) {
  return axis.tap_step() == 2 && axis.phase_stride() == 2 && axis.source_step() == 1;
}

DirectTiles::DirectTiles(const Gather& width, int64_t channels, int most_columns, int most_pairs)
    : pairs(most_pairs > 0), period(pairs ? 1 : std::min(width.result(), width.period())) {
  if (pairs) {
    // Where the first column has the odd taps, it is the second of a pair.
    const int64_t first = -width.without_borders(0).tap;
    add_phase(width, channels, first, 2, 2, static_cast<int>(width.taps()), most_pairs);
    return;
  }
  for (int64_t first = 0; first < period; ++first) {
    const int taps = static_cast<int>(width.without_borders(first).count);
    add_phase(width, channels, first, period, 1, std::max(1, taps), most_columns);
  }
}

// Adds the tiles of columns `first`, `first` + step, ..., or of as many neighbours of each.
void DirectTiles::add_phase(const Gather& width, int64_t channels, int64_t first, int64_t step,
                            int neighbours, int taps, int most) {
  const TapRange range = width.without_borders(first);
  const int64_t columns = (width.result() - 1 - first) / step + 1;
  const int tile_width = best_width(columns, most);
  const int64_t count = ceil_div(columns, tile_width);
  phases.push_back({range.tap, taps, tile_width, static_cast<int64_t>(tiles.size()), count});
  const int64_t reached = std::max<int64_t>(1, range.count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t skipped = std::min(i * tile_width, columns - tile_width);
    const int64_t column = first + skipped * step;
    DirectTile tile{column * channels, 0, 0, 0};
    for (int64_t x = 0; x < tile_width; ++x) {
      for (int64_t n = 0; n < neighbours; ++n) {
        const int64_t at = column + x * step + n;
        if (at >= 0 && at < width.result()) tile.write |= uint32_t{1} << (x * neighbours + n);
      }
    }
    if (range.count > 0) {
      const int64_t lowest =
          range.source + (skipped * width.shift() - (reached - 1)) * width.source_step();
      tile.source = lowest * channels;
      const int64_t held = (tile_width - 1) * width.shift() + reached;
      for (int64_t j = 0; j < held; ++j) {
        const int64_t from = lowest + j * width.source_step();
        if (from >= 0 && from < width.source()) tile.inside |= uint64_t{1} << j;
      }
    }
    tiles.push_back(tile);
  }
}

}  // namespace tf_dwbp::cpu
