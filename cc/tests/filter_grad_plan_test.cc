// The plans of the filter gradient against walks over all that is done.

#include "cc/cpu/filter_grad_plan.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cc/cpu/filter_grad_call.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/tests/compare.h"
#include "cc/tests/planned.h"

namespace tf_dwbp::testing {
namespace {

using cpu::FilterGradPlan;
using cpu::Range;
using cpu::TapSet;
using Mode = FilterGradPlan::Mode;

struct FilterCase {
  Mode mode;
  Geometry g;
  int64_t element_bytes, accumulator_bytes, workers;
};

// Follow each other, as even as can be, as few as `most` allows.
void check_even(const std::vector<TapSet>& sets, int64_t taps, int64_t most,
                const std::string& text) {
  int64_t next = 0, least = taps, largest = 0;
  for (const TapSet& set : sets) {
    check(set.first == next, text + ": in order");
    next += set.count;
    least = std::min(least, set.count);
    largest = std::max(largest, set.count);
  }
  check(next == taps && largest - least <= 1 && largest <= most, text + ": all");
  check((static_cast<int64_t>(sets.size()) - 1) * most < taps, text + ": few");
}

void check_sets(const FilterCase& c, const FilterGradPlan& plan, const std::string& text) {
  const int64_t taps = c.g.width.filter, shift = c.g.width.reduced_stride();
  const cpu::Dispatch& table = cpu::dispatch();
  if (c.mode == Mode::kTapwise) {
    check_even(plan.horizontal, taps, 1, text + "tapwise, horizontal");
    check_even(plan.vertical, c.g.height.filter, 1, text + "tapwise, vertical");
    return;
  }
  const auto compiled = [&](int64_t count) {
    if (count == 1) return true;
    if (shift > cpu::kMostDirectShift || count > cpu::kMostDirectTaps) return false;
    return table.of(float()).dwconv_filter_grad[shift - 1][count - 1] != nullptr;
  };
  int64_t most = 1;
  if (shift == 1) {
    check_even(plan.horizontal, taps, cpu::kMostDirectTaps, text + "horizontal");
    for (const TapSet& set : plan.horizontal) {
      check(compiled(set.count), text + "a kernel");
      most = std::max(most, set.count);
    }
  } else {
    // The largest that there is a kernel for, and again.
    int64_t next = 0;
    for (const TapSet& set : plan.horizontal) {
      int64_t largest = std::min<int64_t>(taps - next, cpu::kMostDirectTaps);
      while (!compiled(largest)) --largest;
      check(set.first == next && set.count == largest, text + "horizontal");
      next += set.count;
      most = std::max(most, set.count);
    }
    check(next == taps, text + "horizontal: all");
  }
  check_even(plan.vertical, c.g.height.filter, table.filter_grad_rows[most - 1], text + "vertical");
}

// Rows of the input that the rows [begin, end) of out_backprop meet, image by image.
int64_t rows_met(const Axis& height, int64_t begin, int64_t end) {
  int64_t rows = 0;
  for (int64_t y = begin; y < end;) {
    const int64_t next = std::min(end, (y / height.out + 1) * height.out);
    const int64_t first = y % height.out;
    rows += std::max<int64_t>(0, met_of(height, first, first + next - y).size());
    y = next;
  }
  return rows;
}

int64_t most_rows_met(const Axis& height, const FilterGradPlan& plan, int64_t band) {
  int64_t most = 0;
  for (int64_t i = 0; i < (plan.few_channels ? 1 : plan.parts); ++i) {
    const Range part = plan.few_channels ? Range{0, plan.rows} : plan.part(i);
    for (int64_t y = part.begin; y < part.end; y += band) {
      most = std::max(most, rows_met(height, y, std::min(y + band, part.end)));
    }
  }
  return most;
}

void check_filter_plan(const FilterCase& c) {
  const Geometry& g = c.g;
  const FilterGradPlan plan(c.mode, g, cpu::dispatch(), c.element_bytes, c.accumulator_bytes,
                            c.workers);
  const std::string text = describe(Op::kFilterGrad, g) + ", mode " +
                           std::to_string(static_cast<int>(c.mode)) + ", " +
                           std::to_string(c.workers) + " workers: ";
  const int64_t channels = g.out_channels(), lanes = plan.lanes, bytes = c.accumulator_bytes;
  check(lanes * bytes == cpu::dispatch().vector_bytes, text + "lanes");
  check(plan.few_channels == (channels * bytes < 64), text + "few");
  check(plan.channel_blocks == (channels + lanes - 1) / lanes, text + "channel blocks");
  int64_t images = 1;
  while ((images + 1) * channels <= lanes && images < g.batch) ++images;
  check(plan.images == images, text + "images that share a vector");

  // Blocks of columns and visits of at most 256 positions, as few as that takes.
  int64_t widest = 0, next = 0, columns = 0;
  for (int64_t i = 0; i < plan.column_blocks; ++i) {
    const Range block = plan.columns(i, g.width);
    check(block.begin == next && block.size() > 0, text + "columns in order");
    next = block.end;
    widest = std::max(widest, block.size());
    columns = std::max(columns, met_of(g.width, block.begin, block.end).size());
  }
  check(next == g.width.out && widest == plan.block_columns && widest <= 256, text + "columns");
  check((plan.column_blocks - 1) * 256 < g.width.out, text + "few blocks of columns");
  check(plan.rows == (plan.few_channels ? 1 : g.batch) * g.height.out, text + "rows");
  const bool far = (g.input_elements() + g.output_elements()) * c.element_bytes >= (1 << 20);
  const int64_t row_bytes = (g.height.stride * g.width.in + g.width.out) * channels * bytes;
  const int64_t visit_bytes = std::max<int64_t>(256 << 10, 4 * g.filter_elements() * bytes);
  int64_t visit_rows = 1;
  while (visit_rows < plan.rows && (visit_rows + 1) * widest <= 256 &&
         (!far || (visit_rows + 1) * row_bytes <= visit_bytes)) {
    ++visit_rows;
  }
  check(plan.visit_rows == visit_rows, text + "rows of a visit");

  const int64_t takes = plan.few_channels ? g.batch : plan.rows;
  const int64_t visits = plan.few_channels ? g.batch : (plan.rows + visit_rows - 1) / visit_rows;
  int64_t parts = 32;
  while (parts > 1 &&
         ((parts & (parts - 1)) != 0 || parts * 128 > g.batch * g.height.out * g.width.out ||
          parts > visits || parts * 2 * bytes * g.filter_elements() > (1 << 20))) {
    --parts;
  }
  check(plan.parts == parts, text + "parts");
  int64_t row = 0, most_visits = 0, least_visits = visits;
  for (int64_t i = 0; i < plan.parts; ++i) {
    const Range part = plan.part(i);
    check(part.begin == row && part.size() > 0, text + "parts in order");
    if (!plan.few_channels) check(row % visit_rows == 0, text + "whole visits");
    const int64_t size =
        plan.few_channels ? part.size() : (part.size() + visit_rows - 1) / visit_rows;
    most_visits = std::max(most_visits, size);
    least_visits = std::min(least_visits, size);
    row = part.end;
  }
  check(row == takes && most_visits - least_visits <= 1, text + "all, in even parts");

  const bool packed = c.mode == Mode::kPacked;
  const int64_t visit_met = packed ? most_rows_met(g.height, plan, visit_rows) : 0;
  check(plan.fits == (!packed || visit_met * columns * 64 <= (1 << 20)), text + "fits");
  if (!plan.fits) return;
  check_sets(c, plan, text);
  check(plan.sum_row_stride == g.width.filter * 2 * lanes &&
            plan.sum_block_stride == g.height.filter * plan.sum_row_stride &&
            plan.sums == plan.channel_blocks * plan.sum_block_stride,
        text + "sums");

  const auto packed_bytes = [&](int64_t band, int64_t met) {
    return (met * columns + band * widest) * lanes * bytes;
  };
  // Chunks make the items that are wanted, of four blocks at least, and fit L2.
  const int64_t wanted = c.workers == 1 || parts >= 2 * c.workers ? 1 : 4 * c.workers;
  int64_t chunks = std::max<int64_t>(1, plan.channel_blocks / 4);
  while (chunks > 1 && chunks * parts > wanted) --chunks;
  if (packed) {
    int64_t held = 1;
    while (g.layout == Layout::kNHWC && held < plan.channel_blocks &&
           (held + 1) * packed_bytes(visit_rows, visit_met) <= (192 << 10)) {
      ++held;
    }
    chunks = std::max(chunks, (plan.channel_blocks + held - 1) / held);
  }
  if (plan.few_channels) chunks = 1;
  if (channels % lanes != 0) {
    chunks = std::min(chunks, std::max<int64_t>(1, plan.channel_blocks / 2));
  }
  check(plan.chunks == chunks && plan.items() == parts * chunks, text + "chunks");
  check(plan.prefetches == (c.mode == Mode::kDirect && chunks == 1 && far), text + "prefetches");

  int64_t chunk = 0;
  for (int64_t i = 0; i < chunks; ++i) {
    chunk =
        std::max(chunk, plan.channel_blocks * (i + 1) / chunks - plan.channel_blocks * i / chunks);
  }
  if (!packed) check(plan.band_rows == visit_rows, text + "a visit at a time");
  check(plan.band_rows % visit_rows == 0, text + "whole visits are packed");
  const int64_t met = packed ? most_rows_met(g.height, plan, plan.band_rows) : 0;
  if (packed) {
    const auto fits_cache = [&](int64_t band) {
      return chunk * packed_bytes(band, most_rows_met(g.height, plan, band)) <= (192 << 10);
    };
    check(plan.band_rows == visit_rows || fits_cache(plan.band_rows), text + "a band fits L2");
    check(plan.band_rows + visit_rows > plan.rows || !fits_cache(plan.band_rows + visit_rows),
          text + "a higher band does not");
  }
  if (c.mode == Mode::kDirect) {
    check(plan.packed_out == 0 && plan.packed_source == 0, text + "nothing is packed");
    return;
  }
  const int64_t source_columns = packed ? columns : widest;
  const int64_t source_rows = packed ? met : visit_rows;
  check(plan.source_row_stride == source_columns * lanes, text + "columns of the input");
  check(plan.source_block_stride == source_rows * plan.source_row_stride + lanes,
        text + "rows of the input, and a vector against aliasing");
  check(plan.out_row_stride == widest * lanes, text + "columns of out_backprop");
  check(plan.out_block_stride == plan.band_rows * plan.out_row_stride + lanes,
        text + "rows of out_backprop");
  check(plan.packed_out == chunk * plan.out_block_stride &&
            plan.packed_source == chunk * plan.source_block_stride,
        text + "the largest chunk is held");
}

TF_DWBP_TEST(filter_grad_plans_hold_what_is_needed_and_fit_the_caches) {
  const std::vector<Axis> widths = {
      {9, 9, 3, 1, 1, 1},   {56, 56, 7, 1, 1, 3}, {300, 150, 5, 2, 2, 4}, {130, 44, 5, 3, 1, 1},
      {57, 29, 8, 2, 1, 1}, {57, 29, 3, 2, 1, 1}, {20, 10, 6, 2, 1, 2},   {700, 700, 16, 1, 1, 1}};
  int64_t number = 0;
  for (const Axis& height : planned_axes())
    for (const Axis& width : widths)
      for (const int64_t channels : {1, 3, 7, 16, 40, 517})
        for (const Mode mode : {Mode::kDirect, Mode::kPacked, Mode::kTapwise}) {
          ++number;  // all values of each of these meet
          const int64_t workers = std::vector<int64_t>{1, 2, 8, 3, 1}[number % 5];
          const int64_t multiplier = std::vector<int64_t>{1, 2, 1, 3, 1, 1, 1}[number % 7];
          const auto layout = number / 3 % 2 == 0 ? Layout::kNCHW : Layout::kNHWC;
          const int64_t batch =
              std::vector<int64_t>{1, 5, 2, 1, 9, 1, 64, 3, 1, 20, 30}[number % 11];
          const bool wide = number / 6 % 3 == 0;
          check_filter_plan({mode,
                             {layout, batch, channels, multiplier, height, width},
                             wide ? 8 : 2,
                             wide ? 8 : 4,
                             workers});
        }
  // 16 MB of both tensors, and a row less.
  for (const int64_t rows : {63, 64})
    for (const int64_t channels : {256, 1024}) {
      const Axis h{rows, rows, 3, 1, 1, 1}, w{32, 32, 3, 1, 1, 1};
      check_filter_plan(
          {Mode::kDirect, {Layout::kNHWC, 1024 / channels, channels, 1, h, w}, 4, 4, 1});
    }
}

TF_DWBP_TEST(filter_grad_plans_say_what_they_are) {
  const auto round = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  const std::pair<const char*, Mode> modes[] = {
      {"direct", Mode::kDirect}, {"packed", Mode::kPacked}, {"tapwise", Mode::kTapwise}};
  for (const auto& [name, mode] : modes)
    for (const int64_t channels : {3, 40, 300})
      for (const int64_t workers : {1, 3}) {
        const Geometry g{Layout::kNHWC,       20, channels, 1, {56, 28, 3, 2, 1, 1},
                         {56, 56, 3, 1, 1, 1}};
        const conv::Problem problem{Op::kFilterGrad, Dtype::kFloat, g};
        if (mode == Mode::kDirect && channels == 3) continue;
        const FilterGradPlan plan(mode, g, cpu::dispatch(), 4, 4, workers);
        const cpu::PlanPointer made = implementation(Op::kFilterGrad, name).plan(problem, workers);
        const std::string text = made->describe();
        const auto vertical = static_cast<int64_t>(plan.vertical.size());
        const auto horizontal = static_cast<int64_t>(plan.horizontal.size());
        std::vector<int64_t> expected = {plan.visit_rows, plan.block_columns};
        const bool shared = plan.few_channels && plan.images > 1;
        if (mode != Mode::kDirect) expected.push_back(plan.band_rows);
        if (shared) expected.push_back(plan.images);
        for (const int64_t n : {vertical, horizontal, plan.items(), plan.parts, plan.chunks}) {
          expected.push_back(n);
        }
        check(numbers_in(text) == expected, text);
        check(contains(text, "shared by") == shared, text);
        check(contains(text, "prefetches") == plan.prefetches, text);
        const int64_t segments = (plan.band_rows - 1) / g.height.out + 2;
        const int64_t worker =
            round(4 * (plan.few_channels ? plan.sums : 0)) + round(4 * plan.packed_out) +
            round(4 * plan.packed_source) +
            round(plan.block_columns * horizontal * int64_t{sizeof(cpu::FilterGradTile)}) +
            round(horizontal * int64_t{sizeof(cpu::ColumnTiles)}) +
            round(plan.visit_rows * vertical * int64_t{sizeof(cpu::FilterGradRow)}) +
            round(8 * vertical) + round(segments * int64_t{sizeof(cpu::FilterGradSegment)});
        check(made->workspace_bytes == round(4 * plan.parts * plan.sums) + workers * worker,
              "workspace: " + text);
      }
}

}  // namespace
}  // namespace tf_dwbp::testing
