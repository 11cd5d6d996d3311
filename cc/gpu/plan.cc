#include "cc/gpu/plan.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace tf_dwbp::gpu {
namespace {

using conv::Layout;

constexpr int kWarp = 32;
constexpr int kVectorBytes = 16;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int power_of_two_from(int64_t value, int most) {
  int power = 1;
  while (power < value && power < most) power *= 2;
  return power;
}

int round_up(int64_t value, int unit) { return static_cast<int>(ceil_div(value, unit)) * unit; }

// What a tile of so many thread tiles is. `lanes` words of channels share a source position; rows
// of planes begin at a vector, and so may hold what comes before their first position.
Tile tile_of(const Windows& w, const ThreadTile& thread, int rows, int columns, int element_bytes,
             int lanes) {
  const int vector = kVectorBytes / element_bytes;
  Tile tile;
  tile.thread_rows = rows;
  tile.thread_columns = columns;
  tile.rows = rows * thread.rows;
  tile.columns = columns * thread.columns;
  tile.source_rows = extent(w.configuration, tile.rows);
  tile.source_columns = extent(w.configuration, tile.columns);
  tile.pitch = lanes > 0 ? tile.source_columns * lanes * thread.channels
                         : round_up(tile.source_columns + vector - 1, vector);
  tile.down = ceil_div(w.height.positions(), tile.rows);
  tile.across = ceil_div(w.width.positions(), tile.columns);
  return tile;
}

int64_t count(const Windows& w, const Tile& tile) {
  return tile.down * tile.across * w.height.classes() * w.width.classes();
}

bool is_whole_plane(const Windows& w, const Tile& tile) { return count(w, tile) == 1; }

// What all tiles read and write, in elements; halos are read by each of their neighbours.
double traffic(const Windows& w, const Tile& tile) {
  return static_cast<double>(count(w, tile)) *
         (static_cast<double>(tile.source_rows) * tile.source_columns +
          static_cast<double>(tile.rows) * tile.columns);
}

// How much longer a device takes that has room for more blocks than there are.
double idle(double wanted, double blocks) { return std::max(1.0, wanted / blocks); }

// Calls try_size(size) for even cuts of `all`, from the largest allowed to 1.
template <typename Try>
void for_each_cut(int64_t all, int most, Try try_size) {
  int last = 0;
  for (int64_t cuts = ceil_div(all, most); last != 1; cuts = cuts * 3 / 2 + 1) {
    const int size = static_cast<int>(ceil_div(all, std::min(cuts, all)));
    if (size != last) try_size(size);
    last = size;
  }
}

// Calls try_tile(rows, columns) for the sizes, in thread tiles, that are worth a look.
template <typename Try>
void for_each_size(const Windows& w, const ThreadTile& thread, int most_columns, Try try_tile) {
  constexpr int kMostRows = 32;
  const int64_t down = std::max<int64_t>(1, ceil_div(w.height.positions(), thread.rows));
  const int64_t across = std::max<int64_t>(1, ceil_div(w.width.positions(), thread.columns));
  for_each_cut(across, most_columns, [&](int columns) {
    for_each_cut(down, kMostRows, [&](int rows) { try_tile(rows, columns); });
  });
}

// Words of channels that share a block: up to a cache line's, or a half.
int lanes_for(int64_t channels, const ThreadTile& thread, int most) {
  // Four words are a vector at least.
  return std::max(4, power_of_two_from(ceil_div(channels, thread.channels), most));
}

}  // namespace

GatherPlan::GatherPlan(const conv::Geometry& g, const Windows& w, const Device& device,
                       int64_t all_channels, int element_bytes) {
  const ThreadTile thread = gather_tile(w.configuration, g.layout, element_bytes);
  const bool nhwc = g.layout == Layout::kNHWC;
  const int room = std::min(kMostSharedBytes, device.shared_bytes / kResidentBlocks);
  const double enough = 2.0 * device.multiprocessors;
  double best = std::numeric_limits<double>::infinity();
  for (const int most_lanes : nhwc ? std::vector<int>{32, 16} : std::vector<int>{1}) {
    const int try_lanes = nhwc ? lanes_for(all_channels, thread, most_lanes) : 1;
    const int width = try_lanes * thread.channels;
    for_each_size(w, thread, nhwc ? 8 : kThreads, [&](int rows, int columns) {
      const Tile try_tile = tile_of(w, thread, rows, columns, element_bytes, nhwc ? try_lanes : 0);
      const int64_t bytes = int64_t{try_tile.source_rows} * try_tile.pitch * element_bytes;
      // The smallest tile may be as large as it is.
      if (bytes > (rows * columns == 1 ? kMostSharedBytes : room)) return;
      const int64_t items = int64_t{rows} * columns * try_lanes;
      const int64_t images = nhwc ? g.batch : g.batch * all_channels;
      const int64_t try_channel_blocks = nhwc ? ceil_div(all_channels, width) : 1;
      int64_t at_once = 1, try_planes = 1;
      if (!nhwc && is_whole_plane(w, try_tile)) {
        const auto spread = static_cast<int64_t>(static_cast<double>(images) / enough);
        at_once = std::clamp<int64_t>(kThreads / items, 1, kMostSharedBytes / bytes);
        at_once = std::clamp<int64_t>(spread, 1, at_once);
        const int64_t turns = std::min(kWantedBytes / (bytes * at_once), spread / at_once);
        try_planes = at_once * std::max<int64_t>(1, turns);
      }
      const int64_t plane_blocks = ceil_div(images, try_planes);
      const double all =
          static_cast<double>(plane_blocks) * try_channel_blocks * count(w, try_tile);
      // Half a cache line at a time is slower, if a little; threads without a tile are idle.
      const int64_t passes = ceil_div(items * at_once, kThreads);
      const int try_threads = round_up(ceil_div(items * at_once, passes), kWarp);
      const double busy = static_cast<double>(items * at_once) / (passes * try_threads);
      const double cost = traffic(w, try_tile) * try_channel_blocks * width * idle(enough, all) *
                          (1 + 0.2 * (1 - busy)) * (try_lanes == 16 ? 1.05 : 1);
      if (cost >= best) return;
      best = cost;
      tile = try_tile;
      lanes = try_lanes;
      planes = static_cast<int>(try_planes);
      planes_at_once = static_cast<int>(at_once);
      threads = try_threads;
      shared_bytes = static_cast<int>(bytes * try_planes);
      channel_blocks = nhwc ? try_channel_blocks : plane_blocks;
      blocks = channel_blocks * count(w, try_tile) * (nhwc ? g.batch : 1);
    });
  }
}

FilterGradPlan::FilterGradPlan(const conv::Geometry& g, const Windows& w, int element_bytes) {
  const ThreadTile thread = filter_grad_tile(g.layout, element_bytes);
  const bool nhwc = g.layout == Layout::kNHWC;
  const int terms_of_item = thread.rows * thread.columns, taps = w.configuration.taps;
  const int sum_bytes = std::max<int>(sizeof(float), element_bytes);
  double best = std::numeric_limits<double>::infinity();
  // NHWC: words of channels; NCHW: channels, each of whole warps.
  for (const int most :
       nhwc ? std::vector<int>{32, 16} : std::vector<int>{kThreads / kWarp, 2, 1}) {
    const int try_lanes = nhwc ? lanes_for(g.channels, thread, most) : 1;
    const int try_channels = nhwc ? 1 : power_of_two_from(g.channels, most);
    const int width = nhwc ? try_lanes * thread.channels : try_channels;
    const int groups = kThreads / try_lanes / try_channels;  // that share the items of a tile
    for_each_size(w, thread, nhwc ? 8 : kThreads, [&](int rows, int columns) {
      const Tile try_tile = tile_of(w, thread, rows, columns, element_bytes, nhwc ? try_lanes : 0);
      const int64_t plane =
          int64_t{try_tile.source_rows} * try_tile.pitch * element_bytes * try_channels;
      const int64_t items = int64_t{rows} * columns;
      if (plane > (items == 1 ? kMostSharedBytes : kSharedBytes)) return;
      int64_t try_images = 1;
      if (!nhwc && is_whole_plane(w, try_tile)) {
        // As many as threads take at the same time, or so that enough is staged.
        const int64_t most = std::max<int64_t>(1, kSharedBytes / plane);
        const int64_t wanted = std::max(groups / items, kWantedBytes / plane);
        try_images = std::min(g.batch, std::clamp<int64_t>(wanted, 1, most));
      }
      const int64_t passes = ceil_div(items * try_images, groups);
      const int64_t by_terms = kTerms / (passes * terms_of_item);
      if (by_terms == 0) return;
      const int64_t all = ceil_div(g.batch, try_images) * count(w, try_tile);
      const int64_t try_channel_blocks = ceil_div(g.channels, width);
      const double busy = static_cast<double>(items * try_images) / (passes * groups);
      const double data = traffic(w, try_tile) * static_cast<double>(g.batch) *
                          (1 + 0.5 * (1 - busy)) * (try_lanes == 16 ? 1.05 : 1);
      // Few long parts leave the device idle, many short ones have much to write and read again,
      // though that may still be in the L2 cache.
      for (int64_t of_part = std::min(by_terms, all); of_part > 0; of_part /= 2) {
        const int64_t try_parts = ceil_div(all, of_part);
        const double sums =
            static_cast<double>(try_parts) * taps * taps * sum_bytes / element_bytes;
        const double cost = (data + sums) * try_channel_blocks * width *
                            idle(kBlocks, static_cast<double>(try_parts) * try_channel_blocks);
        if (cost >= best) continue;
        best = cost;
        tile = try_tile;
        lanes = try_lanes;
        channels = try_channels;
        images = static_cast<int>(try_images);
        // What threads add up at the end, a row of taps at a time, is there too.
        shared_bytes = std::max(static_cast<int>(plane * try_images),
                                kThreads * thread.channels * taps * sum_bytes);
        channel_blocks = try_channel_blocks;
        tiles = all;
        tiles_of_part = of_part;
        parts = try_parts;
      }
    });
  }
}

GeneralFilterGradPlan::GeneralFilterGradPlan(const conv::Geometry& g) {
  const int64_t all = g.out_channels();
  lanes = g.layout == Layout::kNHWC ? power_of_two_from(all, kWarp) : 1;
  column_threads = power_of_two_from(g.width.out, kThreads / lanes);
  row_threads = kThreads / lanes / column_threads;
  channel_blocks = ceil_div(all, lanes);
  const int64_t rows = g.batch * g.height.out;
  const int64_t blocks = channel_blocks * g.height.filter * g.width.filter;
  // Each thread takes some kTerms products of a part, unless more parts are wanted.
  const int64_t columns = std::max<int64_t>(1, ceil_div(g.width.out, column_threads));
  const int64_t by_terms = std::max<int64_t>(1, FilterGradPlan::kTerms / columns) * row_threads;
  const int64_t wanted = ceil_div(FilterGradPlan::kBlocks, std::max<int64_t>(1, blocks));
  rows_of_part = std::max<int64_t>(1, std::min(by_terms, ceil_div(rows, wanted)));
  parts = ceil_div(rows, rows_of_part);
}

}  // namespace tf_dwbp::gpu
