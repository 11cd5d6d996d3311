// The lines implementation: every kernel of it, and its plans against walks over all that they
// list.

#include <string>
#include <vector>

#include "cc/cpu/lines_steps.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/tuning.h"
#include "cc/tests/compare.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

using cpu::kLeastLine;

constexpr Op kGathering[] = {Op::kForward, Op::kInputGrad};

void compare_lines(Op op, const Geometry& g, const conv::Epilogue& epilogue = {},
                   How how = as_asked()) {
  if (!sampled()) return;
  const Example example(op, g, epilogue);
  how.implementation = &implementation(op, "lines");
  for (const Dtype dtype : {Dtype::kHalf, Dtype::kBfloat16, Dtype::kFloat, Dtype::kDouble}) {
    const std::string why = how.implementation->declines({op, dtype, g, epilogue});
    check(why.empty(), describe(op, g) + " is declined: " + why);
    if (!why.empty()) continue;
    with_dtype(dtype, [&](auto t) { compare<decltype(t)>(example, how); });
  }
}

// Any number of vertical taps: one set, more than one, of the same size and not.
TF_DWBP_TEST(line_kernels) {
  for (const Layout layout : kLayouts)
    for (const int64_t taps : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16})
      for (const int64_t stride : {1, 2})
        for (const Op op : kGathering) {
          const Axis height{20, 20 / stride, taps, stride, 1, taps / 2};
          const Axis width{41, 41, 3, 1, 1, 1};
          compare_lines(op, {layout, 2, 3, 1, height, width});
        }
}

// Lines that end anywhere in a vector, taps beyond either border, some that reach nothing.
TF_DWBP_TEST(lines_have_ends) {
  for (int64_t width = cpu::kLeastNarrowLine; width < cpu::kLeastNarrowLine + 17; ++width)
    for (const Layout layout : kLayouts)
      for (const int64_t channels : {1, 3})
        for (const Op op : kGathering) {
          compare_lines(op,
                        {layout, 2, channels, 1, {9, 9, 3, 1, 1, 1}, {width, width, 5, 1, 1, 2}});
          compare_lines(op,
                        {layout, 1, channels, 1, {3, 3, 1, 1, 1, 0}, {width, width, 9, 1, 7, 28}});
          compare_lines(op,
                        {layout, 1, channels, 1, {2, 2, 1, 1, 1, 0}, {width, width, 2, 1, 99, 50}});
          compare_lines(
              op, {layout, 3, channels, 1, {9, 5, 3, 2, 1, 1}, {width + 2, width, 3, 1, 1, 0}});
        }
}

// Lines shorter than a vector, whose ends the next row overwrites.
TF_DWBP_TEST(short_lines) {
  for (int64_t width = kLeastLine; width < kLeastLine + 8; ++width)
    for (const Layout layout : kLayouts)
      for (const Op op : kAllOps) {
        if (!sampled()) continue;
        How how = as_asked();
        how.implementation = &implementation(op, "lines");
        const Geometry g{layout, 3, 1, 1, {19, 19, 3, 1, 1, 1}, {width, width, 3, 1, 1, 1}};
        check(how.implementation->declines({op, Dtype::kFloat, g}).empty(), describe(op, g));
        compare<float>(op, g, how);
        compare<double>(op, g, how);
      }
}

// Channels that begin at each lane of a vector, and are split and joined where columns are two
// apart, or where there are depth multipliers.
TF_DWBP_TEST(few_channels_in_lines) {
  for (int64_t channels = 1; channels < 8; ++channels)
    for (const Op op : kGathering) {
      const Axis same{9, 9, 3, 1, 1, 1}, wide{47, 47, 3, 1, 1, 1};
      for (const int64_t multiplier : {1, 2, 3}) {
        const int64_t result = channels * (op == Op::kForward ? multiplier : 1);
        if (result >= 8) continue;
        const bool apart = op == Op::kInputGrad && multiplier > 2;
        for (const Axis& width : {wide, Axis{31, 16, 3, 2, 1, 1}, Axis{60, 30, 5, 2, 1, 2},
                                  Axis{40, 18, 3, 2, 2, 0}, Axis{31, 29, 3, 1, 3, 2}}) {
          if (apart || (width.stride == 2 && result > cpu::kMostLineChannelsApart)) continue;
          compare_lines(op, {Layout::kNHWC, 2, channels, multiplier, same, width});
        }
        compare_lines(op, {Layout::kNCHW, 2, channels, multiplier, same, wide});
        compare_lines(op, {Layout::kNCHW, 1, 20 + channels, multiplier, {12, 6, 5, 2, 1, 2}, wide});
      }
    }
}

// Rows of the result that share what they gather lie a period apart.
TF_DWBP_TEST(lines_of_dilated_and_strided_rows) {
  for (const Axis& height :
       {Axis{40, 40, 3, 1, 2, 2}, Axis{41, 41, 5, 1, 3, 6}, Axis{40, 20, 3, 2, 1, 1},
        Axis{41, 21, 4, 2, 2, 3}, Axis{60, 20, 2, 3, 1, 0}, Axis{30, 10, 4, 3, 3, 4},
        Axis{1, 1, 3, 1, 1, 1}, Axis{300, 300, 3, 1, 1, 1}})
    for (const Layout layout : kLayouts)
      for (const Op op : kGathering) {
        if (!implementation(op, "lines")
                 .declines({op, Dtype::kFloat, {layout, 2, 3, 1, height, {49, 49, 3, 1, 1, 1}}})
                 .empty()) {
          continue;
        }
        How how = by_threads(4);
        compare_lines(op, {layout, 2, 3, 1, height, {49, 49, 3, 1, 1, 1}}, {}, how);
        how.offsets = {3, 5, 7};
        compare_lines(op, {layout, 9, 1, 1, height, {40, 40, 3, 1, 1, 1}}, {}, how);
      }
}

TF_DWBP_TEST(epilogues_of_lines) {
  const Axis same{9, 9, 3, 1, 1, 1}, wide{47, 47, 3, 1, 1, 1}, half{60, 30, 5, 2, 1, 2};
  for (const conv::Activation activation :
       {conv::Activation::kLinear, conv::Activation::kRelu6, conv::Activation::kElu})
    for (const bool bias : {true, false})
      for (const int64_t channels : {1, 3, 5}) {
        conv::Epilogue epilogue;
        epilogue.bias = bias;
        epilogue.activation = activation;
        if (channels < 4) {
          compare_lines(Op::kForward, {Layout::kNHWC, 2, channels, 1, same, half}, epilogue);
        }
        compare_lines(Op::kForward, {Layout::kNHWC, 2, channels, 1, same, wide}, epilogue);
        compare_lines(Op::kForward, {Layout::kNCHW, 2, 8 * channels, 1, same, wide}, epilogue);
      }
}

// What a plan lists, for sources in the ring and in place: as many bands and steps as there is room
// for, each row once, what kernels read inside the ring, or as far from the rows as it is said.
void check_lists(Op op, const Geometry& g, int64_t workers) {
  using Acc = float;
  const conv::Problem problem{op, Dtype::kFloat, g};
  if (!implementation(op, "lines").declines(problem).empty()) return;
  const std::string text = describe(op, g) + ", " + std::to_string(workers) + " workers: ";
  const conv::Gathering gathering = cpu::gathering_of(problem);
  const int64_t lanes = cpu::lanes<float>();
  const cpu::ChannelBlocks blocks(gathering, lanes);
  const cpu::LinesPlan plan(gathering, lanes, sizeof(Acc), cpu::items_wanted(workers));
  const cpu::LinesCall<float> call{
      gathering,
      plan,
      blocks,
      {nullptr,
       {g.layout, gathering.source_channels(), gathering.height.source(),
        gathering.width.source()}},
      nullptr,
      {g.layout, gathering.channels, gathering.height.result(), gathering.width.result()},
      {},
      nullptr,
      false};
  std::vector<cpu::LineBand> bands(plan.bands);
  std::vector<cpu::LineStep<Acc>> steps(plan.steps);
  std::vector<int> seen(gathering.height.result());
  bool fits = true, inside = true, packed = true;
  for (const bool in_place : {false, true}) {
    if (in_place && !plan.in_place) continue;
    const cpu::ListLineSteps<float> list(call, in_place, nullptr, nullptr);
    cpu::LineBands<cpu::LineStep<Acc>> listed(gathering, plan, bands.data(), steps.data());
    for (int64_t block = 0; block < plan.row_blocks; ++block) {
      listed.list(block, list);
      const int64_t count = listed.end() - listed.begin();
      fits &= count <= plan.bands && listed.end()[-1].step_end <= plan.steps;
      int64_t at = 0, packed_end = 0;
      for (const cpu::LineBand& band : listed) {
        packed &= band.pack_end - band.pack_begin <= plan.slots &&
                  (packed_end == 0 || band.pack_begin >= packed_end);
        packed_end = band.pack_end;
        for (; at < band.step_end; ++at) {
          const cpu::LineGather<Acc>& job = steps[at].job.gather;
          for (int e = 0; e < cpu::kMostLineSources; ++e)
            for (int64_t k = 0; (job.present >> e & 1) != 0 && k < job.tap_count; ++k) {
              const int64_t from = job.sources[e] + job.taps[k].source;
              const int64_t end = from + job.vectors * lanes;
              if (in_place) {
                inside &= job.taps[k].source >= -plan.before &&
                          job.taps[k].source + job.vectors * lanes <= plan.after;
              } else {
                inside &= from >= 0 && end <= plan.ring;
              }
            }
          if (steps[at].is_result && !in_place) {
            for (int64_t r = 0; r < job.rows; ++r) {
              ++seen[steps[at].result / call.to.row + r * plan.period];
            }
          }
        }
        for (int64_t r = 0; r < band.rows && !in_place && !plan.join.empty(); ++r) {
          ++seen[band.first + r * plan.period];
        }
      }
    }
  }
  check(fits, text + "there is room for bands and steps");
  check(packed, text + "rows are copied once, and have slots");
  check(inside, text + "what is read lies inside");
  bool once = true;
  for (const int count : seen) once &= count == 1;
  check(once, text + "each row is computed once");
}

TF_DWBP_TEST(lines_plans_hold_what_is_needed) {
  for (const Axis& height : planned_axes())
    for (const Axis& width : planned_axes())
      for (const Layout layout : kLayouts)
        for (const int64_t channels : {1, 3, 7})
          for (const int64_t multiplier : {1, 2})
            for (const Op op : kGathering) {
              if (!sampled()) continue;
              for (const int64_t workers : {1, 3}) {
                check_lists(op, {layout, 2, channels, multiplier, height, width}, workers);
              }
            }
}

TF_DWBP_TEST(lines_say_why_they_decline) {
  const Axis same{9, 9, 3, 1, 1, 1}, wide{47, 47, 3, 1, 1, 1};
  const auto why = [](Layout layout, int64_t channels, int64_t multiplier, const Axis& height,
                      const Axis& width) {
    return implementation(Op::kForward, "lines")
        .declines({Op::kForward, Dtype::kFloat, {layout, 2, channels, multiplier, height, width}});
  };
  check(why(Layout::kNHWC, 15, 1, same, wide).empty(), "15 channels");
  check(why(Layout::kNHWC, 16, 1, same, wide) == "16 channels fill a vector", "16 channels");
  const Axis apart{47, 24, 3, 2, 1, 1};
  check(contains(why(Layout::kNCHW, 16, 1, same, apart), "more than 1"), "stride 2 of planes");
  check(why(Layout::kNHWC, 4, 1, same, apart).empty(), "stride 2");
  check(contains(why(Layout::kNHWC, 5, 1, same, apart), "5 channels"), "stride 2, 5 channels");
  check(contains(why(Layout::kNHWC, 3, 1, same, {60, 20, 3, 3, 1, 1}), "more than 2"), "stride 3");
  const auto& gradient = implementation(Op::kInputGrad, "lines");
  const Geometry twice{Layout::kNHWC, 2, 3, 2, same, wide},
      thrice{Layout::kNHWC, 2, 3, 3, same, wide};
  check(gradient.declines({Op::kInputGrad, Dtype::kFloat, twice}).empty(), "multiplier 2");
  check(contains(gradient.declines({Op::kInputGrad, Dtype::kFloat, thrice}), "apart"), "3");
  const Axis large{112, 112, 3, 1, 1, 1};
  const auto planes = [&](int64_t batch) {
    return implementation(Op::kForward, "lines")
        .declines({Op::kForward, Dtype::kFloat, {Layout::kNCHW, batch, 32, 1, large, large}});
  };
  check(planes(10).empty() && contains(planes(11), "33554432 bytes"), "planes from memory");
  check(implementation(Op::kForward, "lines")
            .declines({Op::kForward, Dtype::kHalf, {Layout::kNCHW, 99, 32, 1, large, large}})
            .empty(),
        "planes that are widened first");
  const Axis short_{39, 39, 3, 1, 1, 1};
  check(why(Layout::kNCHW, 3, 1, same, short_).empty(), "39 of float");
  check(
      contains(implementation(Op::kForward, "lines")
                   .declines({Op::kForward, Dtype::kHalf, {Layout::kNCHW, 1, 3, 1, same, short_}}),
               "39 elements"),
      "39 of half");
  check(contains(why(Layout::kNHWC, 3, 1, {60, 20, 3, 3, 1, 1}, wide), "2 steps"), "rows");
  check(contains(why(Layout::kNHWC, 3, 1, same, {60, 60, 52, 1, 1, 25}), "52 horiz"), "52 taps");
  check(contains(why(Layout::kNCHW, 3, 1, same, {9, 9, 3, 1, 1, 1}), "9 elements"), "short");
  check(contains(why(Layout::kNHWC, 1, 1, same, {300000, 300000, 3, 1, 1, 1}), "cache"), "long");
  constexpr int64_t kHuge = int64_t{1} << 40;
  const Axis huge{kHuge, kHuge, 3, 1, 1, 1}, far{kHuge, 20, 3, kHuge / 20, 1, 0};
  check(contains(why(Layout::kNHWC, 1, 1, same, huge), "cache"), "too long to be planned");
  check(!why(Layout::kNHWC, 1, 1, same, far).empty(), "too far apart to be planned");
  const Geometry many{Layout::kNCHW, 1, 1, int64_t{1} << 33, same, wide};
  check(contains(gradient.declines({Op::kInputGrad, Dtype::kFloat, many}), "cache"), "too many");
  check(contains(why(Layout::kNHWC, 1, 1, {800, 300, 501, 1, 1, 0}, wide), "steps for"), "steps");
  check(contains(why(Layout::kNHWC, 3, 1, {0, 0, 3, 1, 1, 1}, wide), "no products"), "empty");
}

}  // namespace
}  // namespace tf_dwbp::testing
