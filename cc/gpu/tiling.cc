#include "cc/gpu/tiling.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "cc/conv/math.h"
#include "cc/gpu/cuts.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;
using conv::Layout;

int round_up(int64_t value, int unit) { return static_cast<int>(ceil_div(value, unit)) * unit; }

// What a tile of so many thread tiles is. `lanes` words of channels share a source position; rows
// of planes begin at a vector, and so may hold what comes before their first position.
Tile tile_of(const Windows& w, const ThreadTile& thread, int rows, int columns, int dtype_bytes,
             int lanes) {
  const int vector = kVectorBytes / dtype_bytes;
  Tile tile;
  tile.thread_rows = rows;
  tile.thread_columns = columns;
  tile.rows = rows * thread.rows;
  tile.columns = columns * thread.columns;
  tile.source_rows = extent(w.configuration, tile.rows);
  tile.source_columns = extent(w.configuration, tile.columns);
  tile.row_stride =
      lanes > 0 ? tile.source_columns * lanes * thread.channels
                : round_up(staged_columns(w.configuration, tile.source_columns, vector), vector);
  tile.down = ceil_div(w.height.positions(), tile.rows);
  tile.across = ceil_div(w.width.positions(), tile.columns);
  return tile;
}

int64_t count(const Windows& w, const Tile& tile) {
  return tile.down * tile.across * w.height.phases() * w.width.phases();
}

bool is_whole_plane(const Windows& w, const Tile& tile) { return count(w, tile) == 1; }

// What all tiles read and write, in elements; halos are read by each of their neighbours.
double traffic(const Windows& w, const Tile& tile) {
  return static_cast<double>(count(w, tile)) *
         (static_cast<double>(tile.source_rows) * tile.source_columns +
          static_cast<double>(tile.rows) * tile.columns);
}

// Calls try_tile(rows, columns) for the sizes, in thread tiles, that are worth a look.
template <typename Try>
void for_each_size(const Windows& w, const ThreadTile& thread, int most_columns, Try try_tile) {
  const int64_t down = std::max<int64_t>(1, ceil_div(w.height.positions(), thread.rows));
  const int64_t across = std::max<int64_t>(1, ceil_div(w.width.positions(), thread.columns));
  for_each_cut(across, most_columns, [&](int columns) {
    for_each_cut(down, kMostThreadRows, [&](int rows) { try_tile(rows, columns); });
  });
}

// Words of channels that share a block: a vector at least.
int lanes_for(int64_t channels, const ThreadTile& thread, int most, int dtype_bytes) {
  return std::max(kVectorBytes / dtype_bytes / thread.channels,
                  power_of_two_from(ceil_div(channels, thread.channels), most));
}

template <int n>
std::vector<int> choices(const int (&list)[n]) {
  return std::vector<int>(list, list + n);
}

double cost_of_lanes(int lanes) { return lanes == kLanes[1] ? kCostOfHalfLine : 1; }

}  // namespace

int64_t bytes_of_parts(const conv::Geometry& g, int64_t parts, Dtype dtype) {
  return parts * g.filter_elements() * accumulator_bytes_of(dtype);
}

int64_t most_parts(const conv::Geometry& g, Dtype dtype) {
  // Each is below 2^60.
  const int64_t elements = (g.input_elements() + g.output_elements()) / kOperandsOfWorkspace;
  return std::max<int64_t>(1, elements * bytes_of(dtype) / bytes_of_parts(g, 1, dtype));
}

GatherTiling::GatherTiling(const conv::Geometry& g, const Windows& w, const Device& device,
                           int dtype_bytes) {
  const ThreadTile thread = gather_tile(w.configuration, g.layout, dtype_bytes);
  const bool nhwc = g.layout == Layout::kNHWC;
  blocks_resident = gather_blocks(w.configuration, g.layout, dtype_bytes);
  const int most_bytes = room(device, blocks_resident);
  const int sum_bytes = std::max(dtype_bytes, 4);
  const int filter_bytes = filter_stride(w.configuration, sum_bytes) * sum_bytes;
  const double enough = kBlocksOfMultiprocessor * device.multiprocessors;
  double best = std::numeric_limits<double>::infinity();
  for (const int most_lanes : nhwc ? choices(kLanes) : std::vector<int>{1}) {
    const int try_lanes = nhwc ? lanes_for(g.channels, thread, most_lanes, dtype_bytes) : 1;
    const int width = try_lanes * thread.channels;
    for_each_size(w, thread, nhwc ? kMostThreadColumns : kThreads, [&](int rows, int columns) {
      const Tile try_tile = tile_of(w, thread, rows, columns, dtype_bytes, nhwc ? try_lanes : 0);
      const int64_t bytes = int64_t{try_tile.source_rows} * try_tile.row_stride * dtype_bytes +
                            (nhwc ? 0 : filter_bytes);
      // The smallest tile may be as large as it is.
      if (bytes > (rows * columns == 1 ? kMostSharedBytes : most_bytes)) return;
      const int64_t items = int64_t{rows} * columns * try_lanes;
      const int64_t images = nhwc ? g.batch : g.batch * g.channels;
      const int64_t try_channel_blocks = nhwc ? ceil_div(g.channels, width) : 1;
      // Of whole planes as many as are worth it.
      int64_t most_planes = 1;
      if (!nhwc && is_whole_plane(w, try_tile)) {
        const auto spread = static_cast<int64_t>(static_cast<double>(images) / enough);
        most_planes = std::clamp<int64_t>(std::min(kWantedBytes, most_bytes) / bytes, 1,
                                          std::max<int64_t>(1, spread));
      }
      for (int64_t try_planes = 1; try_planes <= most_planes; ++try_planes) {
        const int64_t plane_blocks = ceil_div(images, try_planes);
        const double all =
            static_cast<double>(plane_blocks) * try_channel_blocks * count(w, try_tile);
        const int64_t passes = ceil_div(items * try_planes, kThreads);
        // Whole warps, and as many threads for each position that is staged (Staging::nhwc()).
        const int try_threads =
            round_up(ceil_div(items * try_planes, passes), nhwc ? std::max(kWarp, width) : kWarp);
        const double busy =
            static_cast<double>(items * try_planes) / static_cast<double>(passes * try_threads);
        const double moved = traffic(w, try_tile) * static_cast<double>(images) *
                             static_cast<double>(try_channel_blocks * width);
        // Half a cache line at a time is slower, if a little; threads without a tile are idle.
        const double cost = (moved * cost_of_lanes(try_lanes) + kCostOfBlock * all) *
                            idle(enough, all) * (1 + kCostOfIdleGather * (1 - busy));
        if (cost >= best) continue;
        best = cost;
        tile = try_tile;
        lanes = try_lanes;
        planes = static_cast<int>(try_planes);
        threads = try_threads;
        shared_bytes = static_cast<int>(bytes * try_planes);
        channel_blocks = nhwc ? try_channel_blocks : plane_blocks;
        blocks = channel_blocks * count(w, try_tile) * (nhwc ? g.batch : 1);
      }
    });
  }
}

FilterGradTiling::FilterGradTiling(const conv::Geometry& g, const Windows& w, Dtype dtype) {
  const int dtype_bytes = static_cast<int>(bytes_of(dtype));
  const ThreadTile thread = filter_grad_tile(w.configuration, g.layout, dtype_bytes);
  const bool nhwc = g.layout == Layout::kNHWC;
  // Of a thread tile's products for a tap, those that are there.
  const int64_t terms_of_item = std::min<int64_t>(thread.rows, w.height.positions()) *
                                std::min<int64_t>(thread.columns, w.width.positions());
  const int taps = w.configuration.taps;
  const int sum_bytes = static_cast<int>(accumulator_bytes_of(dtype));
  const int64_t parts_allowed = most_parts(g, dtype);
  blocks_resident = filter_grad_blocks(w.configuration, g.layout, dtype_bytes);
  const int most_bytes = kFilterGradBytes;
  double best = std::numeric_limits<double>::infinity();
  // NHWC: words of channels; NCHW: channels, each of whole warps.
  for (const int most : nhwc ? choices(kLanes) : choices(kChannelsOfBlock)) {
    const int try_lanes = nhwc ? lanes_for(g.channels, thread, most, dtype_bytes) : 1;
    const int try_channels = nhwc ? 1 : power_of_two_from(g.channels, most);
    const int width = nhwc ? try_lanes * thread.channels : try_channels;
    const int groups = kThreads / try_lanes / try_channels;  // that share the items of a tile
    for_each_size(w, thread, nhwc ? kMostThreadColumns : kThreads, [&](int rows, int columns) {
      const Tile try_tile = tile_of(w, thread, rows, columns, dtype_bytes, nhwc ? try_lanes : 0);
      // NCHW: out_backprop's tile is staged, too.
      const int64_t staged = int64_t{try_tile.source_rows} * try_tile.row_stride +
                             (nhwc ? 0 : int64_t{try_tile.rows} * try_tile.columns);
      const int64_t plane = staged * dtype_bytes * try_channels;
      const int64_t items = int64_t{rows} * columns;
      if (plane > (items == 1 ? kMostSharedBytes : most_bytes)) return;
      int64_t try_images = 1;
      if (!nhwc && is_whole_plane(w, try_tile)) {
        // As many as threads take at the same time, or so that enough is staged.
        const int64_t most = std::max<int64_t>(1, most_bytes / plane);
        const int64_t wanted = std::max(groups / items, kWantedBytes / plane);
        try_images = std::min(g.batch, std::clamp<int64_t>(wanted, 1, most));
      }
      const int64_t passes = ceil_div(items * try_images, groups);
      const int64_t by_terms = kTermsOfSum / (passes * terms_of_item);
      if (by_terms == 0) return;
      const int64_t all = ceil_div(g.batch, try_images) * count(w, try_tile);
      const int64_t try_channel_blocks = ceil_div(g.channels, width);
      const double busy = static_cast<double>(items * try_images) / (passes * groups);
      const double data = traffic(w, try_tile) * static_cast<double>(g.batch) *
                          (1 + kCostOfIdleFilterGrad * (1 - busy)) * cost_of_lanes(try_lanes);
      // Few long parts leave the device idle, many short ones have much to write and read again,
      // though that may still be in the L2 cache.
      const int64_t longest = std::min(by_terms, all);
      for (int64_t of_part = longest; of_part > 0; of_part = of_part * 2 / 3) {
        const int64_t try_parts = ceil_div(all, of_part);
        if (of_part < longest && try_parts > parts_allowed) break;
        const double sums = static_cast<double>(try_parts) * taps * taps * sum_bytes / dtype_bytes;
        const double all_blocks = static_cast<double>(try_parts) * try_channel_blocks;
        const double cost = ((data + sums) * try_channel_blocks * width +
                             (kCostOfBlock + kCostOfSums * taps * taps) * all_blocks +
                             kCostOfTile * static_cast<double>(all * try_channel_blocks)) *
                            idle(kBlocksWanted, all_blocks);
        if (cost >= best) continue;
        best = cost;
        tile = try_tile;
        lanes = try_lanes;
        channels = try_channels;
        images = static_cast<int>(try_images);
        // What threads add up at the end is there, too.
        const int rows_together = rows_of_sums(taps, thread.channels, sum_bytes);
        shared_bytes = std::max(static_cast<int>(plane * try_images),
                                bytes_of_sums(taps, rows_together, thread.channels, sum_bytes));
        channel_blocks = try_channel_blocks;
        tiles = all;
        tiles_of_part = of_part;
        parts = try_parts;
      }
    });
  }
}

GeneralParts::GeneralParts(const conv::Geometry& g, Dtype dtype) {
  const int64_t all = g.out_channels();
  lanes = g.layout == Layout::kNHWC ? power_of_two_from(all, kWarp) : 1;
  column_threads = power_of_two_from(g.width.out, kThreads / lanes);
  row_threads = kThreads / lanes / column_threads;
  channel_blocks = ceil_div(all, lanes);
  const int64_t rows = g.batch * g.height.out;
  const int64_t blocks = channel_blocks * g.height.filter * g.width.filter;
  // Each thread takes some kTermsOfSum products of a part, unless more parts are wanted.
  const int64_t columns = std::max<int64_t>(1, ceil_div(g.width.out, column_threads));
  const int64_t by_terms = std::max<int64_t>(1, kTermsOfSum / columns) * row_threads;
  const int64_t wanted = ceil_div(kBlocksWanted, std::max<int64_t>(1, blocks));
  rows_of_part = std::max<int64_t>(1, std::min(by_terms, ceil_div(rows, wanted)));
  // Longer sums are no worse there: see the kernel.
  rows_of_part = std::max(rows_of_part, ceil_div(rows, most_parts(g, dtype)));
  parts = ceil_div(rows, rows_of_part);
}

}  // namespace tf_dwbp::gpu
