// The lines implementation of the filter gradient: every kernel of it, and its plans against walks
// over all that they list.

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "cc/cpu/filter_grad_lines_worker.h"
#include "cc/cpu/tuning.h"
#include "cc/tests/compare.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

const cpu::Implementation& lines() { return implementation(Op::kFilterGrad, "lines"); }

void compare_lines(const Geometry& g, How how = as_asked()) {
  const Example example(Op::kFilterGrad, g);
  how.implementation = &lines();
  for (const Dtype dtype : {Dtype::kHalf, Dtype::kBfloat16, Dtype::kFloat, Dtype::kDouble}) {
    const std::string why = lines().declines({Op::kFilterGrad, dtype, g});
    check(why.empty(), describe(Op::kFilterGrad, g) + " is declined: " + why);
    if (!why.empty()) continue;
    with_dtype(dtype, [&](auto t) { compare<decltype(t)>(example, how); });
  }
}

// In tests of many cases.
void sample_lines(const Geometry& g) {
  if (sampled()) compare_lines(g);
}

// Any number of vertical and horizontal taps: one set of them, more than one, of the same size and
// not; and rows of tiles of every size.
TF_DWBP_TEST(filter_grad_line_kernels) {
  for (const Layout layout : kLayouts)
    for (const int64_t stride : {1, 2}) {
      for (const int64_t taps : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16})
        for (const int64_t columns : {1, 2, 3, 4, 5, 7, 8}) {
          const Axis height{14 * stride, 14, taps, stride, 1, taps / 2};
          const Axis width{41, 41, columns, 1, 1, columns / 2};
          sample_lines({layout, 2, 3, 1, height, width});
        }
      for (int64_t rows = 1; rows < 20; ++rows) {
        const Axis height{rows * stride, rows, 3, stride, 1, 1};
        sample_lines({layout, 2, 3, 1, height, {40, 40, 3, 1, 1, 1}});
      }
    }
}

// Lines that end anywhere in a vector, taps beyond either border, some that reach nothing.
TF_DWBP_TEST(filter_grad_lines_have_ends) {
  for (int64_t width = cpu::kLeastNarrowLine; width < cpu::kLeastNarrowLine + 17; ++width)
    for (const Layout layout : kLayouts)
      for (const int64_t channels : {1, 3}) {
        const auto of = [&](int64_t batch, const Axis& height, const Axis& columns) {
          sample_lines({layout, batch, channels, 1, height, columns});
        };
        of(2, {9, 9, 3, 1, 1, 1}, {width, width, 5, 1, 1, 2});
        of(1, {3, 3, 1, 1, 1, 0}, {width, width, 9, 1, 7, 28});
        of(1, {2, 2, 1, 1, 1, 0}, {width, width, 2, 1, 99, 50});
        of(3, {9, 5, 3, 2, 1, 1}, {width + 2, width, 3, 1, 1, 0});
      }
}

// Periods of all sizes, and columns that are split where they are two apart, or where there are
// depth multipliers.
TF_DWBP_TEST(filter_grad_of_few_channels_in_lines) {
  const Axis same{9, 9, 3, 1, 1, 1}, wide{47, 47, 3, 1, 1, 1};
  for (int64_t channels = 1; channels < 8; ++channels)
    for (const int64_t multiplier : {1, 2, 3}) {
      const int64_t result = channels * multiplier;
      sample_lines({Layout::kNCHW, 2, channels, multiplier, same, wide});
      if (result >= 8) continue;
      for (const Axis& width :
           {wide, Axis{60, 30, 5, 2, 1, 2}, Axis{40, 18, 3, 2, 2, 0}, Axis{31, 29, 3, 1, 3, 2}}) {
        if (width.stride == 2 && result > cpu::kMostLineChannelsApart) continue;
        sample_lines({Layout::kNHWC, 2, channels, multiplier, same, width});
      }
    }
  // Of float alone: of double they fill a vector.
  How how = as_asked();
  how.implementation = &lines();
  for (int64_t channels = 8; channels < 16; ++channels) {
    compare<float>(Op::kFilterGrad, {Layout::kNHWC, 2, channels, 1, same, wide}, how);
  }
}

// Rows that share what they gather lie a period apart.
TF_DWBP_TEST(filter_grad_lines_of_dilated_rows) {
  for (const Axis& height : {Axis{40, 40, 3, 1, 2, 2}, Axis{41, 41, 5, 1, 3, 6},
                             Axis{41, 20, 4, 2, 2, 3}, Axis{300, 300, 3, 1, 1, 1}})
    for (const Layout layout : kLayouts) {
      How how = by_threads(4);
      compare_lines({layout, 2, 3, 1, height, {49, 49, 3, 1, 1, 1}}, how);
      how.offsets = {3, 5, 7};
      compare_lines({layout, 9, 1, 1, height, {40, 40, 3, 1, 1, 1}}, how);
    }
}

// Lines so long that no lane could take all of them, and tensors whose rows are asked for ahead.
TF_DWBP_TEST(filter_grad_lines_of_any_length) {
  for (const Layout layout : kLayouts)
    for (const int64_t width : {300, 511, 512, 513, 4097}) {
      compare_lines({layout, 1, 2, 1, {9, 9, 3, 1, 1, 1}, {width, width, 3, 1, 1, 1}});
    }
  compare_lines({Layout::kNHWC, 4, 3, 1, {160, 160, 3, 1, 1, 1}, {160, 160, 3, 1, 1, 1}});
  compare_lines({Layout::kNCHW, 40, 16, 1, {40, 40, 3, 1, 2, 2}, {40, 40, 3, 1, 1, 1}});
  // More blocks of rows than parts.
  How how = as_asked();
  how.implementation = &lines();
  for (const Layout layout : kLayouts) {
    compare<float>(Op::kFilterGrad, {layout, 1, 1, 1, {600, 600, 3, 1, 1, 1}, {12, 12, 3, 1, 1, 1}},
                   how);
  }
}

// Strides of two with fewer taps than that: rows in between are met by none, nor read.
TF_DWBP_TEST(filter_grad_lines_skip_rows) {
  for (int64_t rows = 2; rows < 10; ++rows)
    for (const int64_t after : {0, 1, 2}) {
      const Axis height{2 * rows - after, rows, 1, 2, 1, 0};
      for (const Layout layout : kLayouts) {
        sample_lines({layout, 1, 1, 1, height, {40, 40, 3, 1, 1, 1}});
        sample_lines({layout, 1, 1, 1, height, {41, 40, 2, 1, 1, 0}});
      }
    }
}

// What a plan lists, for sources in the ring and in place.
void check_lists(const Geometry& g, int64_t workers) {
  using Acc = float;
  using Step = cpu::FilterGradLineStep<Acc>;
  const conv::Problem problem{Op::kFilterGrad, Dtype::kFloat, g};
  if (!lines().declines(problem).empty()) return;
  const std::string text = describe(Op::kFilterGrad, g) + ", " + std::to_string(workers) + ": ";
  const conv::Gathering gathering = conv::Gathering::forward(g);
  const int64_t lanes = cpu::lanes<Acc>();
  const cpu::FilterGradLinesPlan plan(gathering, lanes, sizeof(Acc), workers);
  const cpu::FilterGradLinesCall<Acc> call{
      gathering,
      plan,
      {nullptr, {g.layout, g.channels, g.height.in, g.width.in}},
      {nullptr, {g.layout, g.out_channels(), g.height.out, g.width.out}},
      false,
      nullptr};
  // No thread and no instruction set decides on sums.
  for (const int64_t others : {4, 8, 16}) {
    const cpu::FilterGradLinesPlan other(gathering, others, sizeof(Acc), workers + 6);
    check(other.parts() == plan.parts() && other.sum_lanes == plan.sum_lanes &&
              other.column_blocks == plan.column_blocks &&
              other.lines.band_rows == plan.lines.band_rows &&
              other.lines.row_blocks == plan.lines.row_blocks,
          text + "the same for all");
  }
  check(plan.sum_lanes == std::lcm<int64_t>(plan.group, 16), text + "whole pixels, whole vectors");
  check(plan.parts() <= cpu::kMostParts, text + "few parts");

  std::vector<cpu::LineBand> bands(plan.lines.bands);
  std::vector<Step> steps(plan.lines.steps);
  bool fits = true, inside = true, few = true;
  // How often each row has met each vertical tap.
  std::vector<int> met(g.height.out * g.height.filter);
  for (const bool in_place : {false, true}) {
    if (in_place && !plan.lines.in_place) continue;
    const cpu::ListFilterGradLineSteps<Acc> list(call, in_place);
    cpu::LineBands<Step> listed(gathering, plan.lines, bands.data(), steps.data());
    for (int64_t block = 0; block < plan.lines.row_blocks; ++block) {
      listed.list(block, list);
      fits &= listed.end() - listed.begin() <= plan.lines.bands &&
              listed.end()[-1].step_end <= plan.lines.steps;
      int64_t at = 0;
      for (const cpu::LineBand& band : listed) {
        for (int64_t column = 0; column < plan.column_blocks; ++column) {
          const int64_t terms = band.rows * (plan.first_of(column + 1) - plan.first_of(column));
          few &= terms <= cpu::kVisitTerms;
        }
        for (; at < band.step_end; ++at) {
          const cpu::LineGather<Acc>& job = steps[at].job.gather;
          const int64_t first_tap = steps[at].sums / plan.sum_row_stride;
          for (int e = 0; e < cpu::kMostLineSources; ++e) {
            for (int64_t k = 0; (job.present >> e & 1) != 0 && k < job.tap_count; ++k) {
              const int64_t from = job.sources[e] + job.taps[k].source;
              const int64_t row = job.sources[e] / call.source.strides.row;
              inside &= in_place ? row >= listed.source_begin() && row < listed.source_end()
                                 : from >= 0 && from + job.vectors * lanes <= plan.lines.ring;
            }
          }
          // Taps of the step, as kernels are chosen by it.
          int64_t taps = 0;
          while (steps[at].kernels !=
                 cpu::kernels<Acc>().dwconv_filter_grad_lines[gathering.height.shift() - 1][taps]) {
            ++taps;
          }
          for (int64_t r = 0; r < job.rows && !in_place; ++r)
            for (int64_t i = 0; i <= taps; ++i) {
              ++met[(band.first + r * plan.lines.period) * g.height.filter + first_tap + i];
            }
        }
      }
    }
  }
  check(fits, text + "there is room for bands and steps");
  check(inside, text + "what is read lies inside");
  check(few, text + "a lane gets few terms of a band");
  check(std::all_of(met.begin(), met.end(), [](int n) { return n == 1; }),
        text + "each row meets each tap once");
}

TF_DWBP_TEST(filter_grad_lines_plans_hold_what_is_needed) {
  for (const Axis& height : planned_axes())
    for (const Axis& width : planned_axes())
      for (const Layout layout : kLayouts)
        for (const int64_t channels : {1, 3, 7})
          for (const int64_t multiplier : {1, 2})
            for (const int64_t workers : {1, 3}) {
              if (sampled()) check_lists({layout, 2, channels, multiplier, height, width}, workers);
            }
}

TF_DWBP_TEST(filter_grad_lines_plans_are_small) {
  const auto plan_of = [](const Geometry& g, int64_t workers) {
    return cpu::FilterGradLinesPlan(conv::Gathering::forward(g), 16, sizeof(float), workers);
  };
  const Axis axis{40, 40, 3, 1, 1, 1};
  // Blocks of 256 rows that share their sums.
  const cpu::FilterGradLinesPlan tall =
      plan_of({Layout::kNHWC, 1, 12, 1, {160000, 160000, 3, 1, 1, 1}, {1, 1, 1, 1, 1, 0}}, 2);
  check(tall.lines.row_blocks == 625 && tall.parts() == cpu::kMostParts, "a tall image");
  // Sums of 256 channels are 144 KB.
  check(plan_of({Layout::kNCHW, 8, 256, 1, axis, axis}, 1).chunks == 3, "chunks of channels");
  const auto why = [](const Axis& height, int64_t width, int64_t channels) {
    const Axis columns{60, 60, width, 1, 1, width / 2};
    return lines().declines(
        {Op::kFilterGrad, Dtype::kFloat, {Layout::kNHWC, 1, channels, 1, height, columns}});
  };
  check(why({60, 60, 31, 1, 1, 15}, 31, 15).empty(), "31x31");
  check(contains(why({60, 60, 51, 1, 1, 25}, 51, 15), "sums of 2496960 bytes"), "51x51");
  check(!why({60, 60, int64_t{1} << 40, 1, 1, 0}, 51, 15).empty(), "a filter beyond any memory");
}

TF_DWBP_TEST(filter_grad_lines_tell_what_they_are) {
  const Axis axis{40, 40, 3, 1, 1, 1};
  const auto describe_plan = [&](const Geometry& g) {
    return lines().plan({Op::kFilterGrad, Dtype::kFloat, g}, 2)->describe();
  };
  check(describe_plan({Layout::kNHWC, 8, 3, 1, axis, axis}) ==
            "lines of 120 elements, sums of 48 lanes; bands of 8 rows x 1 blocks of columns; 8 "
            "items: 8 parts of the images x 1 of rows x 1 chunks of channels",
        "NHWC: " + describe_plan({Layout::kNHWC, 8, 3, 1, axis, axis}));
  check(describe_plan({Layout::kNCHW, 8, 64, 1, axis, axis}) ==
            "lines of 40 elements, sums of 16 lanes; bands of 8 rows x 1 blocks of columns; 8 "
            "items: 1 parts of the images x 1 of rows x 8 chunks of channels",
        "NCHW: " + describe_plan({Layout::kNCHW, 8, 64, 1, axis, axis}));
}

}  // namespace
}  // namespace tf_dwbp::testing
