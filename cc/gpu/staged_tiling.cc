#include "cc/gpu/staged_tiling.h"

#include <algorithm>
#include <limits>

#include "cc/conv/math.h"
#include "cc/gpu/cuts.h"
#include "cc/gpu/tiling.h"
#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;
using conv::Geometry;
using conv::Layout;
using conv::Op;
using conv::Problem;
using conv::product_or_most;

// What of the source a tile meets, and what it has of the result: their bytes in shared memory, and
// those that memory moves, which are whole sectors.
struct Traffic {
  int64_t source_bytes;
  int64_t result_bytes;
  double bytes;

  Traffic(const conv::Gathering& g, const StagedTile& tile, int dtype_bytes) {
    const bool nhwc = g.layout == Layout::kNHWC;
    const int64_t rows = tile.whole ? g.height.source() : g.height.reach(tile.rows);
    const int64_t columns = nhwc ? g.width.reach(tile.columns) : g.width.source();
    const int64_t source_elements = product_or_most({rows, columns, tile.sources});
    const int64_t result_elements = product_or_most({tile.rows, tile.columns, tile.results});
    const auto staged = [&](int64_t elements, int planes) {
      // So much does not fit anyway.
      elements = std::min<int64_t>(elements, kMostSharedBytes);
      if (nhwc) return ceil_div(elements * dtype_bytes, kVectorBytes) * kVectorBytes;
      const int lines = tile.whole ? 1 : planes;
      return lines * staged_line(ceil_div(elements, lines), dtype_bytes) * dtype_bytes;
    };
    source_bytes = staged(source_elements, tile.sources);
    result_bytes = staged(result_elements, tile.results);
    const auto moved = [&](int64_t elements, int channels) {
      const int64_t together = nhwc ? channels : elements;
      const int64_t sectors = ceil_div(product_or_most({together, dtype_bytes}), kSectorBytes);
      return static_cast<double>(elements) / static_cast<double>(together) *
             static_cast<double>(sectors) * kSectorBytes;
    };
    bytes = moved(source_elements, tile.sources) + moved(result_elements, tile.results);
  }
};

// Planes that may share a block: the filter gradient's are of one image.
int64_t input_planes(const Problem& problem) {
  const Geometry& g = problem.geometry;
  return problem.op == Op::kFilterGrad ? g.channels : g.batch * g.channels;
}

// A tile of so many rows and columns of the result, and channels or planes of the input.
StagedTile tile_of(const Problem& problem, const conv::Gathering& all, int rows, int columns,
                   int channels) {
  const Geometry& g = problem.geometry;
  const int multiplier = static_cast<int>(g.multiplier);
  const bool nhwc = g.layout == Layout::kNHWC, forward = problem.op != Op::kInputGrad;
  StagedTile tile;
  tile.sources = channels * (forward ? 1 : multiplier);
  tile.results = channels * (forward ? multiplier : 1);
  tile.rows = rows;
  tile.columns = nhwc ? columns : static_cast<int>(all.width.result());
  tile.down = ceil_div(all.height.result(), rows);
  tile.across = ceil_div(all.width.result(), tile.columns);
  tile.channel_blocks = ceil_div(nhwc ? g.channels : input_planes(problem), channels);
  tile.whole = !nhwc && channels > 1;
  return tile;
}

// Calls try_tile(tile) for those that are worth a look; the last is the smallest there is.
template <typename Try>
void for_each_tile(const Problem& problem, const conv::Gathering& all, Try try_tile) {
  const Geometry& g = problem.geometry;
  for_each_cut(all.height.result(), kMostStagedRows, [&](int rows) {
    if (g.layout == Layout::kNCHW) {
      const bool all_rows = rows == all.height.result();
      const int64_t most = all_rows ? std::min<int64_t>(input_planes(problem), kWarp) : 1;
      for (int planes = static_cast<int>(most); planes > 0; planes = planes * 2 / 3) {
        try_tile(tile_of(problem, all, rows, 0, planes));
      }
      return;
    }
    for_each_cut(all.width.result(), kMostStagedColumns, [&](int columns) {
      for (int channels = power_of_two_from(g.channels, kWarp); channels > 0; channels /= 2) {
        try_tile(tile_of(problem, all, rows, columns, channels));
      }
    });
  });
}

bool is_smallest(const StagedTile& tile, const Geometry& g) {
  return tile.rows == 1 && int64_t{tile.sources} * tile.results == g.multiplier;
}

// What a tile and its tables take; false if it is more than so much.
bool make_cut(const conv::Gathering& all, const RunAxis& down, const StagedTile& tile,
              int dtype_bytes, int64_t most_bytes, StagedGatherCut* cut) {
  const int64_t staged = Traffic(all, tile, dtype_bytes).source_bytes;
  const int64_t spans = int64_t{tile.columns} + down.runs(tile.rows, kRun);
  const int64_t bytes = staged + spans * static_cast<int64_t>(sizeof(Span));
  if (bytes > most_bytes) return false;
  cut->tile = tile;
  cut->tables_offset = static_cast<int>(staged);
  cut->shared_bytes = static_cast<int>(bytes);
  const int64_t images = all.layout == Layout::kNHWC ? all.batch : 1;
  cut->blocks = product_or_most({tile.channel_blocks, tile.down, tile.across, images});
  return true;
}

bool make_cut(const Problem& problem, const conv::Gathering& all, const StagedTile& tile,
              int splits, int64_t most_bytes, StagedSumsCut* cut) {
  const Geometry& g = problem.geometry;
  const bool nhwc = g.layout == Layout::kNHWC;
  const Traffic moved(all, tile, static_cast<int>(bytes_of(problem.dtype)));
  const int64_t before = moved.source_bytes + moved.result_bytes;
  cut->lanes = nhwc ? tile.results : power_of_two_from(tile.columns, kWarp);
  if (before > most_bytes || cut->lanes > kThreads) return false;
  const int64_t classes = RunAxis(g.height, true).classes;
  const int64_t of_column =
      classes * ceil_div(ceil_div(g.height.filter, classes), int64_t{kTapsOfTask});
  const int64_t all_tasks = of_column * g.width.filter;
  // Each sum is two numbers: what rounding has taken from it is kept, too.
  const int64_t of_task = int64_t{splits} * kTapsOfTask * cut->lanes * (nhwc ? 1 : tile.results) *
                          2 * accumulator_bytes_of(problem.dtype);
  const int64_t room = std::min<int64_t>(kBytesOfTaskSums, most_bytes - before);
  if (of_task > room) return false;
  cut->task_blocks = ceil_div(all_tasks, room / of_task);
  const int64_t tasks = ceil_div(all_tasks, cut->task_blocks);
  cut->tile = tile;
  cut->splits = splits;
  cut->tasks = static_cast<int>(tasks);
  cut->tasks_of_column = static_cast<int>(of_column);
  cut->task_blocks = ceil_div(all_tasks, tasks);
  cut->result_offset = static_cast<int>(moved.source_bytes);
  cut->sums_offset = static_cast<int>(before);
  cut->shared_bytes = static_cast<int>(before + tasks * of_task);
  cut->tiles = product_or_most({tile.down, tile.across, g.batch});
  return true;
}

// Positions are 32-bit numbers, and so is what a row is times the elements of one: of those staged,
// and of others that a tap may ask for, which are at most so far beyond them.
std::string along_declines(const conv::Axis& a) {
  const int64_t overshoot = std::max<int64_t>(0, product_or_most({a.out - 1, a.stride}) - a.in);
  std::string why;
  for (const int64_t size : {a.in, a.out}) {
    if (why.empty()) why = beyond_most(size, kMostPositions, " rows or columns");
  }
  for (const int64_t size : {a.pad_before, overshoot, product_or_most({a.filter, a.dilation}),
                             product_or_most({a.stride, a.reduced_dilation(), int64_t{kRun}})}) {
    if (why.empty())
      why = beyond_most(size, kMostBeyond, " positions of a window, a run or a padding");
  }
  return why;
}

}  // namespace

RunAxis::RunAxis(const conv::Axis& a, bool forward)
    : run_step(static_cast<int>(a.reduced_dilation() * (forward ? 1 : a.stride))),
      tap_step(static_cast<int>(std::min(a.reduced_stride(), a.filter))),
      source_step(static_cast<int>(a.reduced_dilation() * (forward ? a.stride : 1))),
      classes(forward ? tap_step : 1),
      class_step(static_cast<int>(a.dilation)) {}

std::string staged_cut_declines(const Problem& problem) {
  const Geometry& g = problem.geometry;
  if (g.height.filter * g.width.filter == 1) return "one tap reads nothing twice";
  if (g.multiplier > kThreads) {
    return "a depth multiplier of " + std::to_string(g.multiplier) + " is more than the " +
           std::to_string(kThreads) + " threads of a block";
  }
  std::string why = along_declines(g.height);
  if (why.empty()) why = along_declines(g.width);
  // Kernels count its elements, too.
  if (why.empty()) why = beyond_most(g.filter_elements(), kMostPositions, " elements of a filter");
  if (!why.empty()) return why;
  const conv::Gathering all = conv::Gathering::of(problem.op, g);
  const StagedTile smallest = tile_of(problem, all, 1, 1, 1);
  bool fits;
  if (problem.op == Op::kFilterGrad) {
    StagedSumsCut cut;
    fits = make_cut(problem, all, smallest, /*splits=*/1, kMostSharedBytes, &cut);
  } else {
    StagedGatherCut cut;
    fits = make_cut(all, RunAxis(g.height, problem.op == Op::kForward), smallest,
                    static_cast<int>(bytes_of(problem.dtype)), kMostSharedBytes, &cut);
  }
  return fits ? "" : "what a row meets, and its tables or sums, do not fit into shared memory";
}

StagedGatherCut cut_staged_gather(const Problem& problem, const Device& device) {
  const Geometry& g = problem.geometry;
  const conv::Gathering all = conv::Gathering::of(problem.op, g);
  const RunAxis down(g.height, problem.op == Op::kForward);
  const int dtype_bytes = static_cast<int>(bytes_of(problem.dtype));
  const double of_column =
      down.classes * kCostOfWindow + all.height.average_taps() * (kRun + kCostOfTap);
  const double of_run =
      kCostOfRun + static_cast<double>(all.multiplier) * all.width.average_taps() * of_column;
  const double wanted = kBlocksOfMultiprocessor * device.multiprocessors;
  StagedGatherCut best;
  double least = std::numeric_limits<double>::infinity();
  for_each_tile(problem, all, [&](const StagedTile& tile) {
    StagedGatherCut cut;
    const int most = is_smallest(tile, g) ? kMostSharedBytes : room(device, kResidentBlocks);
    if (!make_cut(all, down, tile, dtype_bytes, most, &cut)) {
      return;
    }
    const int64_t items = int64_t{tile.columns} * tile.results * down.runs(tile.rows, kRun);
    const double of_block = Traffic(all, tile, dtype_bytes).bytes / kBytesOfInstruction +
                            static_cast<double>(ceil_div(items, kThreads)) * of_run +
                            kCostOfStagedBlock;
    const double cost = static_cast<double>(cut.blocks) * of_block * idle(wanted, cut.blocks);
    if (cost >= least) return;
    least = cost;
    best = cut;
  });
  return best;
}

StagedSumsCut cut_staged_sums(const Problem& problem) {
  const Geometry& g = problem.geometry;
  const conv::Gathering all = conv::Gathering::of(problem.op, g);
  const bool nhwc = g.layout == Layout::kNHWC;
  const int dtype_bytes = static_cast<int>(bytes_of(problem.dtype));
  const int64_t parts_allowed = most_parts(g, problem.dtype);
  StagedSumsCut best;
  double least = std::numeric_limits<double>::infinity();
  const auto try_cut = [&](StagedSumsCut cut, int64_t columns) {
    const StagedTile& tile = cut.tile;
    const int64_t items = int64_t{cut.tasks} * cut.splits * (nhwc ? 1 : tile.results);
    const int groups = kThreads / cut.lanes;
    const double of_item =
        kCostOfRun + static_cast<double>(columns) * (kCostOfColumn + tile.rows * kCostOfRow);
    const double of_tile = Traffic(all, tile, dtype_bytes).bytes / kBytesOfInstruction +
                           static_cast<double>(ceil_div(items, groups)) * of_item +
                           kCostOfStagedBlock;
    // As long as the workspace asks for: sums of tiles are compensated.
    const int64_t longest =
        std::max(std::min<int64_t>(kTilesOfPart, cut.tiles), ceil_div(cut.tiles, parts_allowed));
    for (int64_t of_part = longest; of_part > 0; of_part = of_part * 2 / 3) {
      cut.tiles_of_part = of_part;
      cut.parts = ceil_div(cut.tiles, of_part);
      if (of_part < longest && cut.parts > parts_allowed) break;
      const double cost = static_cast<double>(cut.blocks()) *
                          (static_cast<double>(of_part) * of_tile + kCostOfTaskSums) *
                          idle(kBlocksWanted, cut.blocks());
      if (cost >= least) continue;
      least = cost;
      best = cut;
    }
  };
  for_each_tile(problem, all, [&](const StagedTile& tile) {
    const int most = is_smallest(tile, g) ? kMostSharedBytes : kFilterGradBytes;
    for (const int splits : {8, 4, 2, 1}) {
      StagedSumsCut cut;
      if (!make_cut(problem, all, tile, splits, most, &cut)) continue;
      const int64_t columns = ceil_div(tile.columns, int64_t{splits} * (nhwc ? 1 : cut.lanes));
      // A thread's sums of a tile.
      if (columns * tile.rows > kTermsOfSum && tile.rows > 1) continue;
      try_cut(cut, columns);
    }
  });
  return best;
}

}  // namespace tf_dwbp::gpu
