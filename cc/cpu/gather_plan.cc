#include "cc/cpu/gather_plan.h"

#include <algorithm>

namespace tf_dwbp::cpu {
namespace {

using conv::Gather;
using conv::Gathering;

// Columns of a block at most, of the result and about that many of the source: what neighbouring
// blocks both read is little then.
constexpr int64_t kBlockColumns = 128;
// A band of one group stays in L1 while it is summed; the window of an item stays in L2.
constexpr int64_t kBandBytes = 24 << 10;
constexpr int64_t kWindowBytes = 160 << 10;
constexpr int64_t kStageBytes = 24 << 10;
// A window beyond this is not held.
constexpr int64_t kMostWindowBytes = 2 << 20;
// Items for each worker, so that threads finish together.
constexpr int64_t kItemsOfWorker = 4;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Columns of the window that serves every block.
int64_t columns_needed(const Gather& width, int64_t blocks) {
  int64_t most = 1;
  for (int64_t i = 0; i < blocks; ++i) {
    most = std::max(most, source_columns(width, GatherPlan::begin(width.result(), blocks, i),
                                         GatherPlan::begin(width.result(), blocks, i + 1))
                              .count);
  }
  return most;
}

}  // namespace

GatherPlan::GatherPlan(const Gathering& g, int64_t lanes, int64_t accumulator_bytes,
                       int64_t workers)
    : lanes(lanes) {
  const int64_t vector_bytes = lanes * accumulator_bytes;
  few = g.channels < lanes;
  groups = few ? 1 : divide_up(g.channels, lanes);
  images = few ? std::min(lanes / g.channels, g.batch) : 1;
  image_blocks = divide_up(g.batch, images);
  const int64_t shift = std::min(g.width.class_shift(), kBlockColumns);
  column_blocks = divide_up(g.width.result(), kBlockColumns / shift);
  const int64_t columns = columns_needed(g.width, column_blocks);
  const int64_t block_columns = divide_up(g.width.result(), column_blocks);

  const int64_t row_bytes = columns * vector_bytes;
  const double least = static_cast<double>(row_bytes) * g.multiplier * g.height.reach(1);
  streamed = least > kMostWindowBytes;
  staged = streamed || few || g.layout == conv::Layout::kNCHW;
  const int64_t multiplier = streamed ? 1 : g.multiplier;

  // Rows are cut last: each cut loads rows twice.
  const int64_t wanted = workers == 1 ? 1 : workers * kItemsOfWorker;
  row_blocks = std::clamp<int64_t>(wanted / (image_blocks * column_blocks), 1,
                                   std::max<int64_t>(1, g.height.result() / 4));
  const int64_t block_rows = divide_up(g.height.result(), row_blocks);

  band_rows = 1;
  while (!streamed && band_rows < block_rows &&
         row_bytes * multiplier * g.height.reach(band_rows + 1) <= kBandBytes &&
         (!staged || (band_rows + 1) * block_columns * vector_bytes <= kStageBytes)) {
    ++band_rows;
  }
  slots = streamed ? 1 : g.height.reach(band_rows);

  window_row = columns * lanes;
  window_multiplier = window_row * slots;
  // Not a multiple of 4 KB, or else the groups' vectors of a pixel would share few sets of L1.
  window_group = window_multiplier * multiplier + lanes;
  int64_t chunk = 1;
  if (!staged) {
    chunk = std::clamp<int64_t>(kWindowBytes / (window_group * accumulator_bytes), 1, groups);
  }
  chunks = divide_up(groups, chunk);
  if (!staged) {
    // Where rows alone make too few items.
    chunks = std::max(chunks,
                      std::min(groups / 4, wanted / (image_blocks * column_blocks * row_blocks)));
    // The last group may overlap the one before: one thread has to write both.
    if (g.channels % lanes != 0) chunks = std::min(chunks, std::max<int64_t>(1, groups / 2));
  }
  window = window_group * divide_up(groups, chunks);
  stage_row = block_columns * lanes;
  // One more vector, since the lanes that the last group shares with the one before are skipped.
  stage = staged ? stage_row * band_rows + lanes : 0;

  filter_row = g.width.taps() * lanes;
  filter_multiplier = filter_row * g.height.taps();
  filter_group = filter_multiplier * g.multiplier;
  filter = filter_group * groups;
  total = filter + (window + stage) * workers;
}

}  // namespace tf_dwbp::cpu
