#include "cc/cpu/filter_grad_lines_plan.h"

#include <algorithm>
#include <numeric>

#include "cc/cpu/filter_grad_plan.h"
#include "cc/cpu/kernels/line_jobs.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

using conv::ceil_div;
using conv::Gathering;

int64_t filter_elements_of(const Gathering& g) {
  return g.height.taps() * g.width.taps() * g.channels;
}

// Whole pixels that fill the widest vectors.
int64_t sum_lanes_of(int64_t channels, int64_t accumulator_bytes) {
  return std::lcm(channels, kWidestVectorBytes / accumulator_bytes);
}

}  // namespace

int64_t FilterGradLinesPlan::sum_bytes(const Gathering& g, int64_t accumulator_bytes) {
  const int64_t channels = g.layout == conv::Layout::kNCHW ? 1 : g.channels;
  return conv::product_or_most({g.height.taps(), g.width.taps(),
                                sum_lanes_of(channels, accumulator_bytes), accumulator_bytes});
}

FilterGradLinesPlan::FilterGradLinesPlan(const Gathering& g, int64_t lanes,
                                         int64_t accumulator_bytes, int64_t workers)
    : FilterGradLinesPlan(g, lanes, accumulator_bytes, workers,
                          parts_of(g.result_elements() / kElementsOfLinesPart,
                                   filter_elements_of(g), accumulator_bytes)) {}

FilterGradLinesPlan::FilterGradLinesPlan(const Gathering& g, int64_t lanes,
                                         int64_t accumulator_bytes, int64_t workers,
                                         int64_t wanted_parts)
    : lines(g, lanes, accumulator_bytes, wanted_parts),
      groups(lines.plane ? g.channels : 1),
      group(lines.channels),
      sum_lanes(sum_lanes_of(group, accumulator_bytes)),
      filter_elements(filter_elements_of(g)),
      line_sums_(ceil_div(g.width.result() * group, sum_lanes)) {
  column_blocks = ceil_div(line_sums_ * kLinesOfTile, kVisitTerms);

  row_parts = std::min(lines.row_blocks, wanted_parts);
  image_parts = std::clamp<int64_t>(wanted_parts / row_parts / groups, 1, g.batch);
  sum_row_stride = g.width.taps() * sum_lanes;
  sum_group_stride = g.height.taps() * sum_row_stride;
  part_stride = 2 * ceil_div(filter_elements, lanes) * lanes;
  out_stride = lines.sum_phase_stride;
  out = out_stride * kLinesOfTile;

  chunks = std::clamp<int64_t>(items_wanted(workers) / parts(), 1, groups);
  const int64_t held = kLinesSumBytes / sum_bytes(g, accumulator_bytes);
  chunks = std::max(chunks, ceil_div(groups, std::max<int64_t>(1, held)));
  most_groups = ceil_div(groups, chunks);
}

}  // namespace tf_dwbp::cpu
