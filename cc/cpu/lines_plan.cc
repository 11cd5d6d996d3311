#include "cc/cpu/lines_plan.h"

#include <algorithm>
#include <numeric>

#include "cc/conv/math.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {
namespace {

using conv::ceil_div;
using conv::Gather;
using conv::Gathering;
using conv::TapRange;

// a / b, rounded down; b is positive.
int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

int64_t rounded_up(int64_t size, int64_t multiple) { return ceil_div(size, multiple) * multiple; }

// A tap that reaches the columns [begin, end) of a phase: the c-th from column + c of a strand.
struct Reach {
  int64_t tap;
  int64_t strand;
  int64_t column;
  int64_t begin;
  int64_t end;
};

int64_t columns_of(const Gather& width, int64_t phase) {
  return ceil_div(width.result() - phase, width.phase_stride());
}

// The taps of a phase, without those that reach none of its columns.
std::vector<Reach> reaches_of(const Gather& width, int64_t phase) {
  const int64_t shift = width.phase_shift(), columns = columns_of(width, phase);
  const TapRange taps = width.without_borders(phase);
  std::vector<Reach> reaches;
  for (int64_t i = 0; i < taps.count; ++i) {
    const int64_t source = taps.source - i * width.source_step();
    const int64_t column = floor_div(source, shift), strand = source - column * shift;
    const int64_t strand_columns = ceil_div(width.source() - strand, shift);
    const int64_t begin = std::max<int64_t>(0, -column);
    const int64_t end = std::min(columns, strand_columns - column);
    if (begin >= end) continue;
    reaches.push_back({taps.tap + i * width.tap_step(), strand, column, begin, end});
  }
  return reaches;
}

LinesPlan::Phase make_phase(const std::vector<Reach>& reaches, int64_t columns, int64_t channels,
                            int64_t strand_stride, int64_t lanes) {
  LinesPlan::Phase phase;
  phase.elements = columns * channels;
  phase.vectors = ceil_div(phase.elements, lanes);
  int64_t begin = 0, end = phase.elements;  // what all taps reach
  for (const Reach& reach : reaches) {
    phase.taps.push_back({reach.tap, reach.strand * strand_stride + reach.column * channels});
    begin = std::max(begin, reach.begin * channels);
    end = std::min(end, reach.end * channels);
  }
  phase.whole = ceil_div(begin, lanes);
  phase.whole_end = std::max(phase.whole, end / lanes);
  for (int64_t v = 0; v < phase.vectors; ++v) {
    if (v >= phase.whole && v < phase.whole_end) continue;
    for (const Reach& reach : reaches) {
      uint16_t mask = 0;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const int64_t column = (v * lanes + lane) / channels;
        mask |= static_cast<uint16_t>(column >= reach.begin && column < reach.end) << lane;
      }
      phase.masks.push_back(mask);
    }
  }
  return phase;
}

// A pattern of vectors whose lane i comes from element position(i) of an array.
template <typename Position>
std::vector<SpreadVector> pattern_of(int64_t vectors, int64_t lanes, Position position) {
  std::vector<SpreadVector> pattern(vectors);
  for (int64_t v = 0; v < vectors; ++v) {
    SpreadVector& vector = pattern[v];
    vector.first = position(v * lanes);
    vector.second = vector.first + lanes;
    vector.near = position((v + 1) * lanes - 1) - vector.first < 2 * lanes;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      vector.index[lane] = static_cast<int32_t>(position(v * lanes + lane) - vector.first);
    }
  }
  return pattern;
}

// A pattern that takes columns from two phases in turn. Each one's elements are adjacent.
std::vector<SpreadVector> pattern_of_two(int64_t vectors, int64_t lanes, int64_t channels,
                                         int64_t phase_stride) {
  std::vector<SpreadVector> pattern(vectors);
  for (int64_t v = 0; v < vectors; ++v) {
    int64_t begin[2] = {-1, -1};
    SpreadVector& vector = pattern[v];
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const int64_t element = v * lanes + lane, column = element / channels;
      const int64_t phase = column % 2, from = column / 2 * channels + element % channels;
      if (begin[phase] < 0) begin[phase] = from;
      vector.index[lane] = static_cast<int32_t>(phase * lanes + from - begin[phase]);
    }
    vector.near = true;
    vector.first = std::max<int64_t>(0, begin[0]);
    vector.second = phase_stride + std::max<int64_t>(0, begin[1]);
  }
  return pattern;
}

}  // namespace

LinesPlan::LinesPlan(const Gathering& g, int64_t lanes, int64_t accumulator_bytes, int64_t items)
    : plane(g.layout == conv::Layout::kNCHW),
      channels(plane ? 1 : g.channels),
      filter_vectors(channels / std::gcd(channels, lanes)),
      planes(g.batch * (plane ? g.channels : 1)),
      source_columns_(g.width.source()),
      shift_(g.width.phase_shift()),
      most_taps_(kMostLineTaps[g.height.shift() - 1]) {
  const int64_t phase_count = std::min(g.width.phase_stride(), g.width.result());
  std::vector<std::vector<Reach>> reaches;
  before = after = 0;
  const int64_t widest = kWidestVectorBytes / accumulator_bytes;
  sum_phase_stride = rounded_up(columns_of(g.width, 0) * channels, widest);
  for (int64_t phase = 0; phase < phase_count; ++phase) {
    reaches.push_back(reaches_of(g.width, phase));
    for (const Reach& reach : reaches.back()) {
      before = std::max(before, -reach.column * channels);
      after = std::max(after, reach.column * channels + sum_phase_stride);
    }
  }
  margin = rounded_up(before, widest);
  // Copies are of whole vectors.
  strand_stride = margin + rounded_up(std::max(after, strand_elements(0)), widest);
  multiplier_stride = strand_stride * shift_;
  slot_stride = multiplier_stride * g.multiplier;
  // 4K aliasing: rows would share few sets of L1.
  if (slot_stride * accumulator_bytes % kAliasingBytes == 0) slot_stride += widest;
  for (int64_t phase = 0; phase < phase_count; ++phase) {
    phases.push_back(
        make_phase(reaches[phase], columns_of(g.width, phase), channels, strand_stride, lanes));
  }
  sum_row_stride = sum_phase_stride * phase_count;

  const int64_t source_channels = plane ? 1 : g.source_channels();
  const int64_t multiplier = plane ? 1 : g.multiplier, repeat = plane ? 1 : g.repeat;
  // From one repetition of a pattern to the next, a line's columns grow by this.
  const int64_t columns = filter_vectors * lanes / channels;
  split_advance = columns * shift_ * source_channels;
  in_place = shift_ == 1 && multiplier == 1 && repeat == 1;
  if (!in_place) {
    for (int64_t m = 0; m < multiplier; ++m)
      for (int64_t q = 0; q < shift_; ++q)
        split.push_back(pattern_of(filter_vectors, lanes, [&](int64_t element) {
          const int64_t column = element / channels * shift_ + q;
          return column * source_channels + element % channels / repeat * multiplier + m;
        }));
  }
  // Two columns, one of each phase, have to end with a vector.
  join_advance = columns * channels;
  if (phase_count > 1) join = pattern_of_two(2 * filter_vectors, lanes, channels, sum_phase_stride);

  cut(g, accumulator_bytes, items);
}

void LinesPlan::cut(const Gathering& g, int64_t accumulator_bytes, int64_t items) {
  const int64_t result_rows = g.height.result();
  plane_blocks = std::min(planes, items);
  row_blocks = std::clamp<int64_t>(items / plane_blocks, 1, ceil_div(result_rows, kLinesOfTile));
  row_blocks = std::max(row_blocks, ceil_div(result_rows, kMostLineRows));

  // A band has some rows of each residue modulo the period: as many as are computed together, or
  // fewer, all bands alike, or so many that the ring stays in a cache.
  const int64_t block_rows = ceil_div(result_rows, row_blocks);
  period = std::min(block_rows, g.height.period());
  const int64_t rows = ceil_div(block_rows, period);
  int64_t together = ceil_div(rows, ceil_div(rows, kLinesOfTile));
  while (together > 1 &&
         g.height.reach(together * period) * slot_stride * accumulator_bytes > kLinesBytes) {
    --together;
  }
  band_rows = together * period;
  slots = g.height.reach(band_rows);
  ring = slots * slot_stride;
  bands = ceil_div(block_rows, band_rows) * period;
  // Sums that go to the result at once are not kept. Where phases are joined, whole vectors are
  // read.
  const bool kept = phases.size() > 1 || g.multiplier * sets_of(g.height.most_taps()) > 1;
  sums = kept ? sum_row_stride * kLinesOfTile + kWidestVectorBytes / accumulator_bytes : 0;
  steps =
      bands * g.multiplier * sets_of(g.height.most_taps()) * static_cast<int64_t>(phases.size());
}

}  // namespace tf_dwbp::cpu
