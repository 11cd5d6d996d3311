// The plans of the direct implementation: tiles against the definition, cuts against those that
// were worked out by hand.

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/cpu/direct_tiles.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/tuning.h"
#include "cc/tests/compare.h"
#include "cc/tests/counted_kernels.h"
#include "cc/tests/links.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

using conv::Gather;
using cpu::ColumnPhase;
using cpu::DirectTile;
using cpu::DirectTiles;

constexpr int64_t kChannels = 3;  // no kernel runs: any number will do

// Whether two positions have the same taps and gather from the same positions or, with the second
// `shift` steps on, from neighbours among these: the least distance at which all do is the period.
int64_t period_of(const Axis& axis, bool forward) {
  const Gather gather = forward ? Gather::forward(axis) : Gather::input_grad(axis);
  for (int64_t period = 1;; ++period) {
    bool alike = true;
    for (int64_t i = 0; i < 2 * axis.stride && alike; ++i) {
      const Links here = links_without_borders(axis, forward, i);
      const Links there = links_without_borders(axis, forward, i + period);
      alike = here.size() == there.size();
      for (size_t n = 0; alike && n < here.size(); ++n) {
        alike = here[n].first == there[n].first &&
                (there[n].second - here[n].second) % gather.source_step() == 0;
      }
    }
    if (alike) return period;
  }
}

// The widest of those that cost least: each tile its columns, and one for its start.
int best_direct_width(int64_t columns, int most) {
  std::vector<std::pair<int64_t, int>> costs;
  for (int w = 1; w <= most; ++w) costs.emplace_back((columns + w - 1) / w * (w + 1), -w);
  return -std::min_element(costs.begin(), costs.end())->second;
}

// What the kernel gathers for the x-th column of a tile, or, of pairs, for the second one's too.
Links links_of_column(const Gather& gather, const ColumnPhase& phase, const DirectTile& tile,
                      bool pairs, int64_t x, int64_t second) {
  Links links;
  const int64_t held = pairs ? (phase.taps + 1) / 2 : phase.taps;  // for one column
  for (int64_t t = 0; t < (pairs && second == 1 ? phase.taps / 2 : held); ++t) {
    const int64_t j = x * gather.shift() + held - 1 - t;
    if ((tile.inside >> j & 1) == 0) continue;
    const int64_t tap = pairs ? 2 * t + second : phase.first_tap + t * gather.tap_step();
    links.emplace_back(tap, tile.source / kChannels + j * gather.source_step());
  }
  return links;
}

void check_tiles(const Axis& axis, bool forward, int most_columns, int most_pairs) {
  const Gather gather = forward ? Gather::forward(axis) : Gather::input_grad(axis);
  const DirectTiles tiles(gather, kChannels, most_columns, most_pairs);
  const bool pairs = most_pairs > 0;
  const std::string text = std::string(forward ? "forward, " : "input gradient, ") +
                           describe(axis) + ", at most " + std::to_string(most_columns) +
                           " columns, " + std::to_string(most_pairs) + " pairs";
  check(tiles.pairs == pairs, text);
  const int64_t period = pairs ? 1 : std::min(gather.result(), period_of(axis, forward));
  check(tiles.period == period, text + ", period");
  check(static_cast<int64_t>(tiles.phases.size()) == period, text + ", phases");
  const int64_t neighbours = pairs ? 2 : 1, step = pairs ? 2 : period;
  std::vector<std::vector<int64_t>> writers(gather.result());
  int64_t next = 0;
  for (const ColumnPhase& phase : tiles.phases) {
    check(phase.first_tile == next && phase.tiles > 0, text + ", tiles in order");
    next += phase.tiles;
    int64_t columns = 0, first_of_phase = 0;  // or pairs
    for (int64_t t = phase.first_tile; t < next; ++t) {
      const DirectTile& tile = tiles.tiles[t];
      // The first of a pair may be at -1.
      const int64_t first = (tile.result + step * kChannels) / kChannels - step;
      check(first * kChannels == tile.result, text + ", a pixel");
      uint32_t write = 0;
      for (int64_t x = 0; x < phase.width; ++x) {
        for (int64_t n = 0; n < neighbours; ++n) {
          const int64_t column = first + x * step + n;
          if (column < 0 || column >= gather.result()) continue;
          write |= uint32_t{1} << (x * neighbours + n);
          writers[column].push_back(t);
          check(
              links_of_column(gather, phase, tile, pairs, x, n) == links_of(axis, forward, column),
              text + ", what a column gathers");
        }
      }
      check(tile.write == write && write != 0, text + ", what is written");
      if (t == phase.first_tile) first_of_phase = first;
      columns = std::max(columns, (first - first_of_phase) / step + phase.width);
    }
    const int best = best_direct_width(columns, pairs ? most_pairs : most_columns);
    check(phase.width == best, text + ", the best width");
    check(phase.tiles == (columns + best - 1) / best, text + ", few tiles");
  }
  check(next == static_cast<int64_t>(tiles.tiles.size()), text + ", no more tiles");
  for (const std::vector<int64_t>& by : writers) {
    // Tiles overlap if they are the last two of a phase.
    bool last_two = by.size() == 2 && by[0] + 1 == by[1];
    if (last_two) {
      last_two = false;
      for (const ColumnPhase& phase : tiles.phases) {
        last_two |= by[1] == phase.first_tile + phase.tiles - 1 && phase.tiles > 1;
      }
    }
    check(by.size() == 1 || last_two, text + ", each column by one tile, or by the last two");
  }
}

TF_DWBP_TEST(direct_tiles_gather_what_the_filter_links) {
  int64_t checked = 0, paired = 0;
  const auto see = [&](const Axis& axis) {
    for (const bool forward : {false, true}) {
      const Gather gather = forward ? Gather::forward(axis) : Gather::input_grad(axis);
      if (gather.shift() > cpu::kMostDirectShift || gather.most_taps() > cpu::kMostLongTaps) {
        continue;
      }
      for (const int most : {1, 3, 4, 7}) check_tiles(axis, forward, most, 0);
      ++checked;
      // Stride 2, each column of a pair through every other tap.
      const bool alternates = !forward && axis.stride == 2 && axis.dilation == 1;
      check(cpu::alternate(gather) == alternates, "alternate: " + describe(axis));
      if (!alternates || axis.filter > cpu::kMostDirectTaps ||
          cpu::dispatch().of(float()).dwconv_direct_pairs[axis.filter - 1][0] == nullptr) {
        continue;
      }
      for (const int most : {1, 2, 4}) check_tiles(axis, forward, 7, most);
      ++paired;
    }
  };
  for (const Axis& axis : planned_axes()) see(axis);
  for (int64_t width = 1; width <= 20; ++width)
    for (int64_t filter = 1; filter <= 7; ++filter)
      for (int64_t pad = 0; pad <= 2; ++pad) {
        see({width, width, filter, 1, 1, pad});
        see({width, (width + 1) / 2, filter, 2, 1, pad});
        see({width, width, filter, 1, 2, pad});
      }
  for (const int64_t width : {1, 7, 56, 100})
    for (const int64_t filter : {8, 9, 31, 51}) {
      see({width, width, filter, 1, 1, filter / 2});
      see({width, (width + 1) / 2, filter, 2, 1, filter / 2});
    }
  check(checked > 800 && paired > 150, std::to_string(checked) + ", " + std::to_string(paired));
}

struct Cut {
  Op op;
  Geometry g;
  int64_t workers;
  int64_t row_blocks, column_blocks, chunks;
  bool prefetches;
};

// Of floats. Items are wanted: one of one worker, four of each of several.
TF_DWBP_TEST(direct_plans_cut_as_they_should) {
  const Axis same{56, 56, 3, 1, 1, 1}, halved{56, 28, 3, 2, 1, 1}, third{60, 60, 3, 1, 3, 3};
  const Axis two{2, 2, 3, 1, 1, 1}, nine{9, 9, 3, 1, 1, 1}, point{1, 1, 1, 1, 1, 0};
  const Axis strided{59, 20, 3, 3, 1, 0}, wide{1000, 1000, 3, 1, 1, 1};
  const Axis rows32{32, 32, 1, 1, 1, 0}, rows31{31, 31, 1, 1, 1, 0}, columns64{64, 64, 1, 1, 1, 0};
  const auto nhwc = [](int64_t batch, int64_t channels, const Axis& h, const Axis& w) {
    return Geometry{Layout::kNHWC, batch, channels, 1, h, w};
  };
  const int64_t vector = cpu::lanes<float>();
  const std::vector<Cut> cuts = {
      // One worker takes an image at a time.
      {Op::kForward, nhwc(2, 64, nine, nine), 1, 1, 1, 1, false},
      {Op::kForward, nhwc(2, 64, nine, nine), 2, 3, 1, 1,
       false},  // 4 blocks are 3 + rounding: 4 4 1
      // Eight items: of eight images; two blocks of each of four; four of each of two; of three
      // images three, more than are wanted.
      {Op::kForward, nhwc(8, 64, same, nine), 2, 1, 1, 1, true},
      {Op::kForward, nhwc(4, 64, same, nine), 2, 2, 1, 1, false},
      {Op::kForward, nhwc(2, 64, same, nine), 2, 4, 1, 1, false},
      {Op::kForward, nhwc(3, 64, same, nine), 2, 3, 1, 1, false},
      // Of 56 rows eight blocks of 7, which is no number of pairs: seven of 8.
      {Op::kForward, nhwc(1, 64, same, nine), 2, 7, 1, 1, false},
      // Rows three apart are pairs: blocks of 60 / 8, rounded up to 12.
      {Op::kForward, nhwc(1, 64, third, nine), 2, 5, 1, 1, false},
      // The input gradient's with stride 3: the same, of 59 / 8 -> 12.
      {Op::kInputGrad, nhwc(1, 64, strided, nine), 2, 5, 1, 1, false},
      // With stride 2, neighbours are pairs: 56 / 8 -> 8.
      {Op::kInputGrad, nhwc(1, 64, halved, nine), 2, 7, 1, 1, false},
      // Two rows are one block. Channels are cut, into chunks of four blocks at least.
      {Op::kForward, nhwc(1, 32 * vector, two, nine), 8, 1, 1, 8, false},
      {Op::kForward, nhwc(1, 32 * vector + 1, two, nine), 8, 1, 1, 8, false},
      {Op::kForward, nhwc(1, 32 * vector - vector, two, nine), 8, 1, 1, 7, false},
      {Op::kForward, nhwc(1, 3 * vector, two, nine), 8, 1, 1, 1, false},
      {Op::kInputGrad, nhwc(2, 32 * vector, two, nine), 1, 1, 1, 1, false},
      {Op::kInputGrad, nhwc(3, 128 * vector, two, nine), 2, 1, 1, 2, false},
      {Op::kForward, nhwc(1, 4 * vector, point, point), 8, 1, 1, 1, false},
      // (3 + 2 + 1) * 1000 + 4 * 1000 columns of 2560 bytes are 39.06 times the cache's share.
      {Op::kForward, nhwc(1, 640, two, wide), 1, 1, 39, 1, true},
      // With stride 2 either way, rows need 2 taps, and two more: (2 + 2 + 1) * 28 + 4 * 56.
      {Op::kInputGrad, nhwc(1, 1500, halved, halved), 1, 1, 3, 1, true},
      // Two tiles, which may overlap, are one thread's.
      {Op::kForward, nhwc(1, 65536, two, nine), 1, 1, 1, 1, true},
      // 1 MB of both tensors, and less.
      {Op::kForward, nhwc(1, 64, rows32, columns64), 1, 1, 1, 1, true},
      {Op::kForward, nhwc(1, 64, rows31, columns64), 1, 1, 1, 1, false},
      {Op::kInputGrad, nhwc(1, 64, rows32, columns64), 1, 1, 1, 1, true},
      {Op::kInputGrad, nhwc(1, 64, rows31, columns64), 1, 1, 1, 1, false},
      // Not with chunks of channels.
      {Op::kForward, nhwc(1, 16 * 512, two, nine), 2, 1, 1, 8, false},
  };
  for (const Cut& cut : cuts) {
    const cpu::PlanPointer plan =
        implementation(cut.op, "direct").plan({cut.op, Dtype::kFloat, cut.g}, cut.workers);
    const std::string text = plan->describe();
    const std::string expected =
        std::to_string(cut.g.batch * cut.row_blocks * cut.column_blocks * cut.chunks) +
        " items: " + std::to_string(cut.g.batch) + " images x " + std::to_string(cut.row_blocks) +
        " blocks of rows x " + std::to_string(cut.column_blocks) + " of columns x " +
        std::to_string(cut.chunks) + " of channels" + (cut.prefetches ? "; prefetches rows" : "");
    check(text.size() > expected.size() &&
              text.compare(text.size() - expected.size(), expected.size(), expected) == 0,
          describe(cut.op, cut.g) + ": " + text + ", not " + expected);
    const int64_t blocks = (cut.g.channels + vector - 1) / vector;
    const int64_t filter =
        blocks * vector * cut.g.height.filter * cut.g.width.filter * int64_t{sizeof(float)};
    check(plan->workspace_bytes == (filter + 63) / 64 * 64, "workspace: " + text);
  }
}

TF_DWBP_TEST(direct_plans_say_what_they_are) {
  const Axis nine{9, 9, 3, 1, 1, 1}, halved{56, 28, 3, 2, 1, 1}, apart{40, 40, 3, 1, 3, 3};
  for (const Axis& width : {nine, halved, apart})
    for (const Op op : {Op::kForward, Op::kInputGrad}) {
      const Geometry g{Layout::kNHWC, 2, 64, 1, nine, width};
      const std::string text =
          implementation(op, "direct").plan({op, Dtype::kFloat, g}, 1)->describe();
      const Gather gather = op == Op::kForward ? Gather::forward(width) : Gather::input_grad(width);
      const bool pairs = op == Op::kInputGrad && width.stride == 2;
      const cpu::Dispatch& table = cpu::dispatch();
      const DirectTiles tiles(gather, 64, table.direct_columns[gather.shift() - 1],
                              pairs ? table.direct_pairs : 0);
      std::vector<int64_t> expected = {};
      for (const ColumnPhase& phase : tiles.phases) {
        for (const int64_t number : {phase.tiles, int64_t{2}, int64_t{phase.width},
                                     cpu::lanes<float>(), int64_t{phase.taps}}) {
          expected.push_back(number);
        }
      }
      for (const int64_t number : {2, 2, 1, 1, 1}) expected.push_back(number);
      check(numbers_in(text) == expected, text);
      check(contains(text, "pairs of columns") == pairs, text);
    }
}

int64_t runs_of(const std::string& name) {
  int64_t runs = 0;
  for (const KernelCount& count : kernel_counts()) {
    if (count.name == name) runs += count.runs;
  }
  return runs;
}

// Columns that are a multiple of 4 KB apart are written over a buffer.
TF_DWBP_TEST(results_take_a_write_buffer_where_columns_alias) {
  const Axis row{2, 2, 1, 1, 1, 0}, nine{9, 9, 3, 1, 1, 1}, apart{9, 9, 3, 1, 2, 2};
  for (const auto& [channels, axis, op, buffered] :
       {std::tuple<int64_t, Axis, Op, bool>(1024, nine, Op::kForward, true),
        {1040, nine, Op::kForward, false},
        {512, nine, Op::kForward, false},
        {512, apart, Op::kForward, true},
        {1536, apart, Op::kForward, true},
        {2048, nine, Op::kForward, true},
        {1024, {9, 5, 3, 2, 1, 1}, Op::kInputGrad, false}}) {
    const int64_t before = count_of(cpu::Path::kDirectWriteBuffer);
    How how = serially();
    how.implementation = &implementation(op, "direct");
    compare<float>(op, {Layout::kNHWC, 1, channels, 1, row, axis}, how);
    check((count_of(cpu::Path::kDirectWriteBuffer) > before) == buffered,
          std::to_string(channels) + " channels, " + describe(axis));
  }
}

// Channels go downwards where the result lies a little ahead of the source modulo the largest
// power of two, up to 4 KB, that divides a column's bytes.
TF_DWBP_TEST(channels_go_downwards_where_stores_meet_loads) {
  const Axis row{2, 2, 1, 1, 1, 0}, nine{9, 9, 3, 1, 1, 1};
  for (const auto& [channels, same] :
       {std::pair<int64_t, int64_t>(64, 256), {96, 128}, {128, 512}, {192, 256}}) {
    const Geometry g{Layout::kNHWC, 1, channels, 1, row, nine};
    const conv::Problem problem{Op::kForward, Dtype::kFloat, g};
    const cpu::PlanPointer plan = implementation(Op::kForward, "direct").plan(problem, 1);
    const int64_t bytes = g.input_elements() * 4;
    const Memory source(bytes + 2 * same, 0), result(bytes + 2 * same, 0);
    const Memory filter(g.filter_elements() * 4), workspace(plan->workspace_bytes);
    std::memset(source.data(), 0, bytes + 2 * same);
    std::memset(filter.data(), 0, g.filter_elements() * 4);
    const int64_t apart = result.as<char>() - source.as<char>();
    for (const int64_t ahead : {int64_t{0}, int64_t{4}, same / 2 - 4, same / 2, same - 4}) {
      const int64_t move = ((ahead - apart) % same + same) % same;
      const int64_t before = runs_of("float direct, downwards");
      plan->run({source.data(), filter.data(), result.as<char>() + move, workspace.data()},
                {1, nullptr});
      const bool downwards = runs_of("float direct, downwards") > before;
      check(downwards == (ahead > 0 && ahead < same / 2),
            std::to_string(channels) + " channels, " + std::to_string(ahead) + " bytes ahead");
    }
  }
}

}  // namespace
}  // namespace tf_dwbp::testing
