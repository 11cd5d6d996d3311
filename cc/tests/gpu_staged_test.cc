// The GPU kernels for staged windows: any taps, strides, dilations and multiplier.

#include <algorithm>
#include <string>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/gpu/staged_tiling.h"
#include "cc/gpu/tiling.h"
#include "cc/gpu/window.h"
#include "cc/tests/gpu_compare.h"
#include "cc/tests/random_problem.h"

namespace tf_dwbp::gpu {
namespace {

using testing::Random;
using testing::random_geometry;

constexpr int64_t kSeed = 11;

const Implementation& staged() { return named("staged"); }

// In each layout and op, by two of the types, in turn.
void compare_staged(Geometry g, int64_t shift = 0) {
  static int turn = 0;
  for (const Layout layout : kLayouts) {
    g.layout = layout;
    for (const Op op : kAllOps) {
      const Problem problem{op, Dtype::kDouble, g};
      check(staged().declines(problem).empty(), to_text(problem));
      const Example example(op, g);
      if (turn++ % 2 == 0) {
        compare<Half>(example, shift, &staged());
        compare<double>(example, shift, &staged());
      } else {
        compare<Bfloat16>(example, shift, &staged());
        compare<float>(example, shift, &staged());
      }
    }
  }
}

TF_DWBP_TEST(staged_multipliers) {
  for (const int64_t multiplier : {1, 2, 3, 4, 5})
    for (const int64_t channels : {1, 3, 16, 33})
      for (const int64_t stride : {1, 2}) {
        const Axis axis = same_padded(10, 3, stride);
        compare_staged({Layout::kNHWC, 2, channels, multiplier, axis, axis});
      }
}

TF_DWBP_TEST(staged_strides_and_dilations) {
  for (const int64_t stride : {1, 2, 3, 4})
    for (const int64_t dilation : {1, 2, 3, 6})
      for (const int64_t taps : {2, 3, 5}) {
        const Axis plain = same_padded(11, 3, 1), other = same_padded(19, taps, stride, dilation);
        compare_staged({Layout::kNHWC, 1, 4, 2, plain, other});
        compare_staged({Layout::kNHWC, 2, 5, 1, other, plain});
        compare_staged({Layout::kNHWC, 1, 8, 1, other, other});
      }
}

TF_DWBP_TEST(staged_large_filters) {
  for (const int64_t taps : {7, 8, 9, 11, 13, 31}) {
    const Axis axis = same_padded(23, taps, 1), half = same_padded(40, taps, 2);
    compare_staged({Layout::kNHWC, 1, 2, 1, axis, axis});
    compare_staged({Layout::kNHWC, 1, 1, 2, half, axis});
  }
}

// Lines that begin anywhere, and tensors whose ends are within a vector.
TF_DWBP_TEST(staged_alignments) {
  for (const int64_t size : {1, 2, 3, 5, 8, 13})
    for (int64_t shift = 0; shift < 8; ++shift) {
      const Axis axis = same_padded(size, 3, 1);
      compare_staged({Layout::kNHWC, 1, size, 2, axis, axis}, shift);
    }
}

// Images that no block holds, of many tiles and parts.
TF_DWBP_TEST(staged_images_beyond_a_block) {
  const Axis tall = same_padded(150, 5, 1), wide = same_padded(140, 3, 2);
  compare_staged({Layout::kNHWC, 1, 6, 2, tall, wide});
  const Axis small = same_padded(5, 3, 1);
  compare_staged({Layout::kNHWC, 70, 3, 2, small, small});
}

// Paddings beyond the filter, of which a row or column may meet nothing.
TF_DWBP_TEST(staged_wide_paddings) {
  for (const int64_t pad : {3, 5, 9}) {
    const Axis axis{6, 6 + 2 * pad - 2, 3, 1, 1, pad}, apart{6, 2 * pad, 3, 2, 3, pad};
    compare_staged({Layout::kNHWC, 1, 3, 2, axis, axis});
    compare_staged({Layout::kNHWC, 1, 3, 1, axis, apart});
    compare_staged({Layout::kNHWC, 1, 3, 1, apart, axis});
  }
}

TF_DWBP_TEST(staged_declines_with_a_reason) {
  const Axis plain = same_padded(9, 3, 1), one = same_padded(9, 1, 1), none{0, 0, 3, 1, 1};
  const auto why = [](Op op, Layout layout, const Axis& h, const Axis& w, int64_t multiplier) {
    return staged().declines({op, Dtype::kFloat, {layout, 2, 4, multiplier, h, w}});
  };
  for (const Op op : kAllOps)
    for (const Layout layout : kLayouts) {
      check(why(op, layout, none, plain, 1) == "there are no products to sum", "empty");
      check(why(op, layout, one, one, 2) == "one tap reads nothing twice", "one tap");
      check(why(op, layout, plain, plain, 129) ==
                "a depth multiplier of 129 is more than the 128 threads of a block",
            "multiplier");
      const Axis beyond = same_padded(kMostPositions + 1, 3, 1);
      const std::string many =
          "268435457 rows or columns are more than the 268435456 that kernels count";
      check(why(op, layout, beyond, plain, 1) == many, "rows");
      check(why(op, layout, plain, beyond, 1) == many, "columns");
      // What numbers of 32 bits would not count, in a kernel.
      const std::string beyond_that =
          " positions of a window, a run or a padding are more than the 8192 that kernels count";
      const auto check_beyond = [&](const Axis& axis, const std::string& count) {
        check(why(op, layout, axis, plain, 1) == count + beyond_that, count);
        check(why(op, layout, plain, axis, 1) == count + beyond_that, count);
      };
      check_beyond({9, 9, 3, 1, 1 << 25, 1 << 20}, "1048576");                // the padding
      check_beyond({9, 9, 3, 1, 1 << 25, 0}, "100663296");                    // the window
      check_beyond({9, 1, 3, 1171, 1, 0}, "8197");                            // a run
      check_beyond({9, 65, 3, 1000, 1, 0, (int64_t{1} << 31) - 1}, "63991");  // the last window
    }
  const Axis wide = same_padded(20000, 3, 1), tall = same_padded(20000, 5999, 1);
  const std::string room =
      "what a row meets, and its tables or sums, do not fit into shared memory";
  check(why(Op::kForward, Layout::kNCHW, wide, wide, 1) == room, "a row of 20,000");
  check(why(Op::kForward, Layout::kNHWC, wide, wide, 1).empty(), "cut into columns");
  check(why(Op::kForward, Layout::kNHWC, tall, plain, 1) == room, "a window of 6,000 rows");
  check(why(Op::kFilterGrad, Layout::kNCHW, plain, plain, 128) == room, "sums of 128 planes");
}

// Strides beyond the filter, of which most rows meet no tap; rows or columns far apart.
TF_DWBP_TEST(staged_strides_beyond_the_filter) {
  const Axis plain = same_padded(9, 3, 1);
  for (const int64_t stride : {4, 8, 1000}) {
    const Axis far{2 * stride + 1, 3, 3, stride, 1, 1}, valid{stride + 2, 1, 3, stride, 1, 0};
    compare_staged({Layout::kNHWC, 1, 2, 2, far, plain});
    compare_staged({Layout::kNHWC, 1, 2, 1, plain, far});
    compare_staged({Layout::kNHWC, 1, 4, 1, valid, valid});
  }
  // A task for each tap: there are no more classes of them.
  const Axis eight{17, 3, 3, 8, 1, 1};
  const RunAxis runs(eight, /*forward=*/true);
  check(runs.classes == 3 && runs.tap_step == 3, "classes");
  const Problem problem{Op::kFilterGrad, Dtype::kFloat, {Layout::kNHWC, 2, 4, 1, eight, eight}};
  check(cut_staged_sums(problem).tasks_of_column == 3, "tasks");
}

// Filters whose sums are large beside the operands: parts are as long as that takes.
TF_DWBP_TEST(staged_workspaces_are_bounded) {
  const auto cut = [](Dtype dtype, const Geometry& g) {
    const StagedSumsCut made = cut_staged_sums({Op::kFilterGrad, dtype, g});
    check(made.parts <= most_parts(g, dtype), describe(Op::kFilterGrad, g));
    return made;
  };
  const Axis one = same_padded(1, 15, 1), large = same_padded(1000, 153, 1);
  check(cut(Dtype::kHalf, {Layout::kNHWC, 512, 1, 1, one, one}).parts == 1, "512 images");
  const StagedSumsCut made = cut(Dtype::kHalf, {Layout::kNHWC, 1, 64, 1, large, large});
  check(made.tiles_of_part > kTilesOfPart, "long parts");
  compare_staged({Layout::kNHWC, 600, 1, 1, one, one});
}

// Of a cut: it has room for what the kernels stage, and covers all.
void check_gather(const Problem& problem, const Device& device) {
  const Geometry& g = problem.geometry;
  const bool forward = problem.op == Op::kForward, nhwc = g.layout == Layout::kNHWC;
  const conv::Gathering all =
      forward ? conv::Gathering::forward(g) : conv::Gathering::input_grad(g);
  const StagedGatherCut cut = cut_staged_gather(problem, device);
  const StagedTile& tile = cut.tile;
  const std::string text = to_text(problem);
  check(cut.shared_bytes > 0 && cut.shared_bytes <= kMostSharedBytes, text + ": shared memory");
  check(tile.rows * tile.down >= all.height.result(), text + ": rows");
  check(tile.columns * tile.across >= all.width.result(), text + ": columns");
  const int64_t planes = nhwc ? g.channels : g.batch * g.channels;
  const int64_t of_block = forward ? tile.sources : tile.results;
  check(tile.channel_blocks * of_block >= planes, text + ": channels");
  check((tile.channel_blocks - 1) * of_block < planes, text + ": no idle channels");
  check(cut.blocks == tile.channel_blocks * tile.down * tile.across * (nhwc ? g.batch : 1), text);
  const auto bytes = static_cast<int>(bytes_of(problem.dtype));
  for (int64_t y = 0; y < all.height.result(); y += tile.rows)
    for (int64_t x = 0; x < all.width.result(); x += tile.columns) {
      const auto met = [](const conv::Gather& axis, int64_t begin, int64_t count) {
        const int64_t last = std::min(begin + count, axis.result()) - 1;
        return std::max<int64_t>(0, axis.highest_source(last) - axis.lowest_source(begin) + 1);
      };
      const bool whole = tile.whole;
      check(!whole || (!nhwc && tile.down == 1), text + ": whole planes");
      const int64_t rows = whole ? all.height.source() : met(all.height, y, tile.rows);
      const int64_t columns = nhwc ? met(all.width, x, tile.columns) : all.width.source();
      const int64_t lines = whole ? 1 : tile.sources;
      const int64_t staged =
          nhwc ? rows * columns * tile.sources
               : lines * staged_line(rows * columns * tile.sources / lines, bytes);
      check(staged * bytes <= cut.tables_offset, text + ": staged");
    }
  const RunAxis down(g.height, forward);
  const int64_t spans = tile.columns + down.runs(tile.rows, kRun);
  check(cut.tables_offset % kVectorBytes == 0, text + ": alignment");
  check(cut.tables_offset + spans * int64_t{sizeof(Span)} <= cut.shared_bytes, text + ": tables");
}

void check_sums(const Problem& problem) {
  const Geometry& g = problem.geometry;
  const bool nhwc = g.layout == Layout::kNHWC;
  const StagedSumsCut cut = cut_staged_sums(problem);
  const StagedTile& tile = cut.tile;
  const std::string text = to_text(problem);
  check(cut.shared_bytes > 0 && cut.shared_bytes <= kMostSharedBytes, text + ": shared memory");
  check(cut.lanes <= kThreads, text + ": lanes");
  check(tile.rows * tile.down >= g.height.out && tile.columns * tile.across >= g.width.out, text);
  check(tile.channel_blocks * tile.results >= g.out_channels(), text + ": channels");
  check(cut.tiles == tile.down * tile.across * g.batch, text + ": tiles");
  check(cut.parts * cut.tiles_of_part >= cut.tiles, text + ": parts");
  check((cut.parts - 1) * cut.tiles_of_part < cut.tiles, text + ": no empty part");
  check(cut.parts <= most_parts(g, problem.dtype), text + ": the workspace");
  check(cut.task_blocks * cut.tasks >= cut.tasks_of_column * g.width.filter, text + ": tasks");
  const int64_t items = int64_t{cut.tasks} * cut.splits * (nhwc ? 1 : tile.results);
  check(
      cut.sums_offset + items * kTapsOfTask * cut.lanes * 2 * accumulator_bytes_of(problem.dtype) <=
          cut.shared_bytes,
      text + ": sums");
  check(cut.result_offset % kVectorBytes == 0 && cut.sums_offset % kVectorBytes == 0, text);
}

TF_DWBP_TEST(staged_cuts_have_room_and_cover_all) {
  int64_t taken = 0;
  for (int i = 0; i < 4000; ++i) {
    Random random(kSeed, i);
    const Geometry g = random_geometry(&random, {1e9, 1e8});
    for (const Op op : kAllOps) {
      const Problem problem{op, kDtypes[i % kDtypes.size()], g};
      if (!staged().declines(problem).empty()) continue;
      ++taken;
      if (op == Op::kFilterGrad) {
        check_sums(problem);
      } else {
        check_gather(problem,
                     i % 2 == 0 ? Device{132, 228 << 10, 1 << 10} : Device{4, 32 << 10, 0});
      }
    }
  }
  check(taken > 1000, "some are taken");
}

// Positions of runs: each once, and what they meet moves by the step.
TF_DWBP_TEST(runs_cover_an_axis) {
  for (int64_t stride = 1; stride <= 4; ++stride)
    for (int64_t dilation = 1; dilation <= 6; ++dilation)
      for (const bool forward : {false, true})
        for (const int positions : {1, 2, 5, 7, 20, 61}) {
          const Axis axis{100, 100, 5, stride, dilation, 4};
          const RunAxis runs(axis, forward);
          const conv::Gather gather =
              forward ? conv::Gather::forward(axis) : conv::Gather::input_grad(axis);
          const std::string text = std::to_string(stride) + ", " + std::to_string(dilation);
          std::vector<int> covered(positions, 0);
          for (int run = 0; run < runs.runs(positions, kRun); ++run) {
            const int first = runs.begin(run, positions, kRun);
            for (int i = 0; i < kRun; ++i) {
              const int position = first + i * runs.run_step;
              if (position >= positions) break;
              ++covered[position];
              const conv::TapRange at = gather.without_borders(position),
                                   from = gather.without_borders(first);
              check(at.count == from.count && at.tap == from.tap, text + ": the same taps");
              check(at.count == 0 || at.source == from.source + i * runs.source_step,
                    text + ": what they meet");
            }
          }
          check(std::all_of(covered.begin(), covered.end(), [](int n) { return n == 1; }),
                text + ": each once");
        }
}

}  // namespace
}  // namespace tf_dwbp::gpu
