// The plans of the packed implementation, and workspaces, against walks over all that is done.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cc/cpu/packed_plan.h"
#include "cc/cpu/packed_tiles.h"
#include "cc/cpu/packed_worker.h"
#include "cc/cpu/tuning.h"
#include "cc/cpu/workspace.h"
#include "cc/tests/compare.h"
#include "cc/tests/links.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

using conv::Gather;
using conv::Gathering;
using cpu::ChannelBlocks;
using cpu::ColumnBlock;
using cpu::PackedPlan;

Gathering gather_of(Op op, const Geometry& g) {
  return op == Op::kForward ? Gathering::forward(g) : Gathering::input_grad(g);
}

// The width that costs least: each tile its columns, seven at least, and two for its start.
int best_packed_width(int64_t columns) {
  std::vector<std::pair<int64_t, int>> costs;
  for (int w = 1; w <= cpu::kMostPackedColumns; ++w) {
    costs.emplace_back((columns + w - 1) / w * (std::max(w, 7) + 2), w);
  }
  return std::min_element(costs.begin(), costs.end())->second;
}

// What a tile gathers for its x-th column.
Links links_of_column(const Gather& gather, const ColumnBlock& block, const cpu::ColumnTile& tile,
                      int x) {
  Links links;
  for (int64_t i = 0; i < tile.taps.count; ++i) {
    if (tile.first_mask >= 0 && (block.masks[tile.first_mask + i] >> x & 1) == 0) continue;
    links.emplace_back(tile.taps.tap + i * gather.tap_step(),
                       block.source.first + tile.taps.source - i * gather.source_step() +
                           x * gather.phase_shift());
  }
  return links;
}

void check_block(const Axis& axis, bool forward, const Gather& gather, const ColumnBlock& block,
                 const std::string& text) {
  int64_t low = gather.source(), high = -1;
  for (int64_t column = block.first; column < block.first + block.count; ++column) {
    for (const auto& link : links_of(axis, forward, column)) {
      low = std::min(low, link.second);
      high = std::max(high, link.second);
    }
  }
  check(high < 0 ? block.source.count == 0
                 : block.source.first == low && block.source.count == high - low + 1,
        text + ", what is packed");
  std::vector<int> written(block.count, 0);
  std::vector<std::vector<int>> widths(gather.phase_stride());
  int64_t next_tile = 0, next_mask = 0;
  for (const ColumnBlock::Phase& phase : block.phases) {
    check(phase.first_tile == next_tile && phase.tiles > 0, text + ", tiles in order");
    next_tile += phase.tiles;
    for (int64_t t = phase.first_tile; t < next_tile; ++t) {
      const cpu::ColumnTile& tile = block.tiles[t];
      widths[tile.column % gather.phase_stride()].push_back(phase.width);
      bool all_inside = true;
      for (int x = 0; x < phase.width; ++x) {
        const int64_t at = tile.column + x * gather.phase_stride();
        check(at >= 0 && at < block.count && ++written[at] == 1, text + ", each column once");
        const Links links = links_of(axis, forward, block.first + at);
        check(links_of_column(gather, block, tile, x) == links, text + ", what it gathers");
        all_inside &= static_cast<int64_t>(links.size()) == tile.taps.count;
      }
      if (tile.taps.count > 0) {
        check((tile.first_mask < 0) == all_inside, text + ", masks where they are needed");
      }
      if (tile.first_mask < 0) continue;
      check(tile.first_mask == next_mask, text + ", masks in order");
      next_mask += tile.taps.count;
      check(block.masks[tile.first_mask] != 0 && block.masks[next_mask - 1] != 0,
            text + ", no tap that reaches nothing");
    }
  }
  check(next_tile == static_cast<int64_t>(block.tiles.size()) &&
            next_mask == static_cast<int64_t>(block.masks.size()),
        text + ", no more tiles, no more masks");
  check(std::count(written.begin(), written.end(), 1) == block.count, text + ", every column");
  for (size_t first = 0; first < widths.size(); ++first) {
    const std::vector<int>& of_phase = widths[first];
    int64_t columns = 0;
    for (const int width : of_phase) columns += width;
    for (size_t i = 0; i < of_phase.size(); ++i) {
      const int best = best_packed_width(columns);
      check(of_phase[i] == best || (i + 1 == of_phase.size() && of_phase[i] < best),
            text + ", the best width");
    }
  }
}

TF_DWBP_TEST(packed_tiles_gather_what_the_filter_links) {
  const Axis row{3, 3, 3, 1, 1, 1};
  for (const Axis& axis : planned_axes())
    for (const bool forward : {false, true}) {
      const Gathering g =
          gather_of(forward ? Op::kForward : Op::kInputGrad, {Layout::kNHWC, 1, 16, 1, row, axis});
      const PackedPlan plan(g, ChannelBlocks(g, 16), 4, 1);
      const std::string text =
          std::string(forward ? "forward, " : "input gradient, ") + describe(axis);
      int64_t next = 0, widest = 0, narrowest = g.width.result();
      for (const ColumnBlock& block : plan.column_blocks) {
        check(block.first == next, text + ", blocks in order");
        next += block.count;
        widest = std::max(widest, block.count);
        narrowest = std::min(narrowest, block.count);
        check_block(axis, forward, g.width, block, text);
      }
      check(next == g.width.result() && widest - narrowest <= 1, text + ", even blocks");
      // Of the result, and about that many of the source; no more blocks than that takes.
      const int64_t shift = std::min(g.width.phase_shift(), cpu::kBlockColumns);
      const int64_t most = cpu::kBlockColumns / shift;
      const auto blocks = static_cast<int64_t>(plan.column_blocks.size());
      check(widest <= most && (blocks - 1) * most < g.width.result(), text + ", few blocks");
    }
}

// Rows that the ring holds at most, by a walk over all bands; `exact` if a band had all that the
// borders can take from it.
int64_t most_slots(const Axis& axis, bool forward, const Gather& gather, const PackedPlan& plan,
                   bool* exact) {
  int64_t most = 1;
  *exact = false;
  for (int64_t i = 0; i < plan.row_blocks; ++i) {
    const int64_t end = gather.result() * (i + 1) / plan.row_blocks;
    for (int64_t y = gather.result() * i / plan.row_blocks; y < end; y += plan.band_rows) {
      const int64_t band = std::min(plan.band_rows, end - y);
      int64_t highest = -1;
      for (int64_t r = y; r < y + band; ++r) {
        for (const auto& link : links_of(axis, forward, r)) {
          highest = std::max(highest, link.second);
        }
      }
      if (highest < 0) continue;
      most = std::max(most, highest + 1 - gather.lowest_source(y));
      const Links first = links_without_borders(axis, forward, y);
      const Links last = links_without_borders(axis, forward, y + band - 1);
      *exact |= (forward || axis.stride == 1) && band == plan.band_rows &&
                first.back().second >= 0 && last.front().second < gather.source();
    }
  }
  return most;
}

struct PackedCase {
  Op op;
  Geometry g;
  int64_t lanes, accumulator_bytes, workers;
};

void check_packed_plan(const PackedCase& c) {
  const Gathering g = gather_of(c.op, c.g);
  const ChannelBlocks blocks(g, c.lanes);
  const PackedPlan plan(g, blocks, c.accumulator_bytes, c.workers);
  const std::string text = describe(c.op, c.g) + ", " + std::to_string(c.lanes) + " lanes, " +
                           std::to_string(c.workers) + " workers: ";
  check(blocks.count == (g.channels + c.lanes - 1) / c.lanes, text + "blocks");
  check(blocks.few == (g.channels < c.lanes), text + "few");
  int64_t images = 1;
  while (blocks.few && (images + 1) * g.channels <= c.lanes && images < g.batch) ++images;
  check(blocks.images == images, text + "images that share a vector");
  check(plan.image_blocks == (g.batch + images - 1) / images, text + "blocks of images");
  const auto column_blocks = static_cast<int64_t>(plan.column_blocks.size());

  int64_t columns = 1, block_columns = 0;
  for (const ColumnBlock& block : plan.column_blocks) {
    columns = std::max(columns, block.source.count);
    block_columns = std::max(block_columns, block.count);
  }
  check(plan.packed_row_stride == columns * c.lanes, text + "columns of the packed tile");
  const int64_t vector_bytes = c.lanes * c.accumulator_bytes;
  const double row_bytes = static_cast<double>(columns * vector_bytes * g.multiplier);
  check(plan.row_wise == (row_bytes * g.height.reach(1) > (2 << 20)), text + "row-wise");
  check(plan.buffered == (plan.row_wise || blocks.few || c.g.layout == Layout::kNCHW),
        text + "buffered");

  // As many blocks of rows as make the items that are wanted, but of four rows at least.
  const int64_t wanted = c.workers == 1 ? 1 : 4 * c.workers;
  int64_t row_blocks = std::max<int64_t>(1, wanted);
  while (row_blocks > 1 && (row_blocks * plan.image_blocks * column_blocks > wanted ||
                            row_blocks * 4 > g.height.result())) {
    --row_blocks;
  }
  check(plan.row_blocks == row_blocks, text + "blocks of rows");

  const int64_t block_rows = (g.height.result() + row_blocks - 1) / row_blocks;
  const auto fits = [&](int64_t band) {
    return row_bytes * g.height.reach(band) <= (24 << 10) &&
           (!plan.buffered || band * block_columns * vector_bytes <= (24 << 10));
  };
  check(plan.band_rows == 1 || fits(plan.band_rows), text + "a band fits L1");
  check(plan.row_wise ? plan.band_rows == 1
                      : plan.band_rows == block_rows || !fits(plan.band_rows + 1),
        text + "a higher band does not");
  bool exact = false;
  const int64_t slots = most_slots(c.g.height, c.op == Op::kForward, g.height, plan, &exact);
  if (plan.row_wise) {
    check(plan.slots == 1, text + "one row at a time");
  } else {
    check(exact ? plan.slots == slots : plan.slots >= slots, text + "rows of the ring");
  }

  const int64_t multiplier = plan.row_wise ? 1 : g.multiplier;
  check(plan.packed_multiplier_stride == plan.slots * plan.packed_row_stride, text + "multiplier");
  check(plan.packed_block_stride == multiplier * plan.packed_multiplier_stride + c.lanes,
        text + "a block, and a vector against aliasing");
  int64_t chunk = 0;
  for (int64_t i = 0; i < plan.chunks; ++i) {
    const int64_t size = blocks.count * (i + 1) / plan.chunks - blocks.count * i / plan.chunks;
    check(size > 0, text + "no empty chunk");
    const bool overlaps = i + 1 == plan.chunks && g.channels % c.lanes != 0;
    if (!plan.buffered && overlaps) {
      check(size > 1 || blocks.count == 1, text + "blocks that overlap are one thread's");
    }
    chunk = std::max(chunk, size);
  }
  check(plan.packed == chunk * plan.packed_block_stride, text + "the largest chunk is held");
  if (plan.buffered) {
    check(plan.chunks == blocks.count, text + "a block at a time");
    check(plan.write_buffer == plan.band_rows * plan.write_buffer_row_stride + c.lanes,
          text + "write buffer");
  } else {
    const int64_t block_bytes = plan.packed_block_stride * c.accumulator_bytes;
    const int64_t held = std::clamp<int64_t>((160 << 10) / block_bytes, 1, blocks.count);
    const int64_t least = (blocks.count + held - 1) / held;  // chunks, for L2
    int64_t more = blocks.count / 4;                         // of four blocks at least
    while (more > 0 && more * plan.image_blocks * column_blocks * row_blocks > wanted) --more;
    int64_t chunks = std::max(least, more);
    if (g.channels % c.lanes != 0) {
      chunks = std::min(chunks, std::max<int64_t>(1, blocks.count / 2));
    }
    check(plan.chunks == chunks, text + "chunks");
    check(plan.write_buffer == 0, text + "no write buffer");
  }
  check(plan.write_buffer_row_stride == block_columns * c.lanes, text + "its rows");
  check(plan.items() == plan.image_blocks * row_blocks * column_blocks * plan.chunks,
        text + "items");
}

TF_DWBP_TEST(packed_plans_hold_what_is_needed_and_fit_the_caches) {
  const std::vector<Axis> widths = {{9, 9, 3, 1, 1, 1},
                                    {48, 48, 3, 1, 1, 1},
                                    {56, 56, 3, 1, 1, 1},
                                    {300, 150, 5, 2, 2, 4},
                                    {130, 44, 5, 3, 1, 1}};
  int64_t number = 0;
  for (const Axis& height : planned_axes())
    for (const Axis& width : widths)
      for (const int64_t channels : {1, 3, 16, 40, 100, 517})
        for (const Op op : {Op::kForward, Op::kInputGrad}) {
          // All values of each of these meet: their numbers have no common factor.
          ++number;
          const int64_t workers = std::vector<int64_t>{1, 2, 8, 3, 1}[number % 5];
          const int64_t multiplier = std::vector<int64_t>{1, 2, 1, 40, 1, 1, 3}[number % 7];
          const auto layout = number % 3 == 0 ? Layout::kNCHW : Layout::kNHWC;
          const int64_t batch = std::vector<int64_t>{1, 5, 2, 1, 9, 1, 1, 3, 1, 1, 30}[number % 11];
          const auto [lanes, bytes] = std::vector<std::pair<int64_t, int64_t>>{
              {16, 4}, {8, 8}, {8, 4}, {4, 8}}[number / 2 % 4];
          check_packed_plan(
              {op, {layout, batch, channels, multiplier, height, width}, lanes, bytes, workers});
        }
  const Axis axis{10, 10, 3, 1, 1, 1};
  // More than 2 MB, the last less, for a row's needs: those of 3 rows.
  for (const int64_t multiplier : {218, 219, 4000})
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW}) {
      check_packed_plan(
          {Op::kInputGrad, {layout, 1, 20, multiplier, axis, {50, 50, 3, 1, 1, 1}}, 16, 4, 2});
    }
}

TF_DWBP_TEST(parts_of_a_workspace_lie_beside_each_other) {
  cpu::WorkspaceLayout layout;
  check(layout.bytes() == 0, "nothing yet");
  int64_t end = 0;
  const auto see = [&](const auto& part, int64_t count, int64_t bytes) {
    check(part.count == count && part.offset == end && part.offset % 64 == 0, "begins");
    end = (end + bytes + 63) / 64 * 64;
    check(layout.bytes() == end, "ends");
  };
  for (const int64_t count : {0, 1, 7, 8, 9, 15, 16, 17, 64, 1000}) {
    see(layout.add<double>(count), count, 8 * count);
    see(layout.add<float>(count), count, 4 * count);
    see(layout.add<char>(count), count, count);
  }
  std::vector<char> memory(end);
  const cpu::Part<double> part{128, 3};
  check(static_cast<void*>(part.in(memory.data())) == memory.data() + 128, "its pointer");

  cpu::WorkspaceLayout worker;
  worker.add<char>(65);
  const int64_t before = layout.bytes();
  const cpu::WorkerParts parts(worker, 3, &layout);
  check(parts.bytes_of_worker == 128 && layout.bytes() == before + 3 * 128, "for each worker");
  for (int64_t i = 0; i < 3; ++i) {
    check(parts.of(i, memory.data()) == memory.data() + before + 128 * i, "a worker's own");
  }
  // Beyond what 63 bits can count.
  cpu::WorkspaceLayout huge;
  for (int i = 0; i < 20; ++i) {
    huge.add<double>(int64_t{1} << 61);
    const cpu::WorkerParts all(huge, 1 << 20, &huge);
    check(huge.bytes() == int64_t{1} << 60, "more than there is");
  }
  const cpu::WorkerParts none;
  check(none.bytes_of_worker == 0 && none.all.count == 0, "no worker");
}

// Plans as values: numbers of their descriptions, and workspace, are those of their structs.
TF_DWBP_TEST(packed_plans_say_what_they_are) {
  const auto round = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  for (const int64_t channels : {3, 40, 300})
    for (const Layout layout : {Layout::kNHWC, Layout::kNCHW})
      for (const int64_t workers : {1, 3})
        for (const auto& [multiplier, width] :
             {std::pair<int64_t, Axis>(1, {300, 150, 3, 2, 1, 1}),
              std::pair<int64_t, Axis>(300, {50, 50, 3, 1, 1, 1})}) {
          const Geometry g{layout, 7, channels, multiplier, {14, 14, 3, 1, 1, 1}, width};
          for (const Op op : {Op::kForward, Op::kInputGrad}) {
            const conv::Problem problem{op, Dtype::kHalf, g};
            const Gathering gathering = gather_of(op, g);
            const ChannelBlocks blocks(gathering, cpu::lanes<Half>());
            const PackedPlan plan(gathering, blocks, 4, workers);
            const cpu::PlanPointer made = implementation(op, "packed").plan(problem, workers);
            std::vector<int64_t> expected = {plan.slots, plan.packed_row_stride / blocks.lanes,
                                             blocks.lanes};
            if (blocks.images > 1) expected.push_back(blocks.images);
            const auto columns = static_cast<int64_t>(plan.column_blocks.size());
            for (const int64_t number : {plan.band_rows, plan.items(), plan.image_blocks,
                                         plan.row_blocks, columns, plan.chunks}) {
              expected.push_back(number);
            }
            const std::string text = made->describe();
            check(numbers_in(text) == expected, text);
            check(contains(text, "row by row") == plan.row_wise, text);
            check(contains(text, "write buffer") == plan.buffered, text);
            check(contains(text, "shared by") == (blocks.images > 1), text);
            const int64_t filter = 9 * blocks.count * blocks.lanes * gathering.multiplier;
            const int64_t worker = round(4 * plan.packed) + round(4 * plan.write_buffer) +
                                   round(plan.band_rows * int64_t{sizeof(cpu::RowTaps)});
            check(made->workspace_bytes == round(4 * filter) + workers * worker,
                  "workspace: " + text);
            check(made->workers == workers, "workers");
          }
        }
}

}  // namespace
}  // namespace tf_dwbp::testing
