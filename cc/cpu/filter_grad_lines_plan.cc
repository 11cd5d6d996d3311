#include "cc/cpu/filter_grad_lines_plan.h"

#include <algorithm>
#include <numeric>

#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

using conv::ceil_div;
using conv::Gathering;

// Parts of the work: as many as there may be sums for, of so many elements of out_backprop at
// least.
int64_t parts_wanted(const Gathering& g, int64_t accumulator_bytes) {
  const int64_t filter = g.height.taps() * g.width.taps() * g.channels;
  const int64_t wanted =
      std::clamp<int64_t>(g.result_elements() / kElementsOfLinesPart, 1, kMostParts);
  return std::clamp<int64_t>(kPartsBytes / (2 * accumulator_bytes * filter), 1, wanted);
}

}  // namespace

FilterGradLinesPlan::FilterGradLinesPlan(const Gathering& g, int64_t lanes,
                                         int64_t accumulator_bytes, int64_t workers)
    : lines(g, lanes, accumulator_bytes, parts_wanted(g, accumulator_bytes)),
      groups(lines.plane ? g.channels : 1),
      group(lines.channels),
      filter_elements(g.height.taps() * g.width.taps() * g.channels) {
  const int64_t widest = kWidestVectorBytes / accumulator_bytes;
  period = group / std::gcd(group, widest) * widest;
  periods_ = ceil_div(g.width.result() * group, period);
  column_blocks = ceil_div(periods_ * kLinesOfTile, kVisitTerms);

  image_parts = std::clamp<int64_t>(
      parts_wanted(g, accumulator_bytes) / (groups * lines.row_blocks), 1, g.batch);
  sum_row_stride = g.width.taps() * period;
  sum_group_stride = g.height.taps() * sum_row_stride;
  part_stride = 2 * ceil_div(filter_elements, lanes) * lanes;
  out_stride = lines.sum_phase_stride;

  chunks = std::clamp<int64_t>(items_wanted(workers) / parts(), 1, groups);
  const int64_t held = kLinesSumBytes / (sum_group_stride * accumulator_bytes);
  chunks = std::max(chunks, ceil_div(groups, std::max<int64_t>(1, held)));
  most_groups = ceil_div(groups, chunks);
}

}  // namespace tf_dwbp::cpu
