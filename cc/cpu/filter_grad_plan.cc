#include "cc/cpu/filter_grad_plan.h"

#include <algorithm>

#include "cc/conv/math.h"
#include "cc/cpu/far.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Axis;
using conv::begin_of_part;
using conv::ceil_div;
using conv::Geometry;

std::vector<TapSet> even_sets(int64_t taps, int64_t most) {
  const int64_t sets = ceil_div(taps, most);
  std::vector<TapSet> made;
  for (int64_t i = 0; i < sets; ++i) {
    const int64_t first = begin_of_part(taps, sets, i);
    made.push_back({first, begin_of_part(taps, sets, i + 1) - first});
  }
  return made;
}

// Sets that there are kernels for.
std::vector<TapSet> horizontal_sets(const Axis& width) {
  const int64_t shift = width.reduced_stride();
  if (shift == 1) return even_sets(width.filter, kMostDirectTaps);
  if (shift > kMostDirectShift) return even_sets(width.filter, 1);
  std::vector<TapSet> made;
  for (int64_t first = 0; first < width.filter;) {
    int64_t count = std::min<int64_t>(width.filter - first, kMostDirectTaps);
    count = count < 3 ? 1 : (count - 1) / 2 * 2 + 1;
    made.push_back({first, count});
    first += count;
  }
  return made;
}

}  // namespace

Range FilterGradPlan::part(int64_t i) const {
  if (few_channels) return {begin_of_part(batch_, parts, i), begin_of_part(batch_, parts, i + 1)};
  const int64_t visits = ceil_div(rows, visit_rows);
  return {begin_of_part(visits, parts, i) * visit_rows,
          std::min(begin_of_part(visits, parts, i + 1) * visit_rows, rows)};
}

int64_t FilterGradPlan::most_source_columns(const Axis& width) const {
  int64_t most = 0;
  for (int64_t i = 0; i < column_blocks; ++i) {
    const Range block = columns(i, width);
    most = std::max(most, met(width, block.begin, block.end).size());
  }
  return most;
}

int64_t FilterGradPlan::most_source_rows(const Axis& height, int64_t band) const {
  int64_t most = 0;
  const auto see = [&](int64_t begin, int64_t end) {
    int64_t rows = 0;
    for_images(height.out, begin, end, [&](int64_t, int64_t first, int64_t last) {
      rows += met(height, first, last).size();
    });
    most = std::max(most, rows);
  };
  if (few_channels) {
    for_bands({0, rows}, band, see);  // of each image
  } else {
    for (int64_t i = 0; i < parts; ++i) for_bands(part(i), band, see);
  }
  return most;
}

bool FilterGradPlan::few(const Geometry& g, int64_t accumulator_bytes) {
  return g.out_channels() * accumulator_bytes < kFewChannelsBytes;
}

FilterGradPlan::FilterGradPlan(Mode mode, const Geometry& g, const Dispatch& kernels,
                               int64_t element_bytes, int64_t accumulator_bytes, int64_t workers)
    : mode(mode), lanes(kernels.vector_bytes / accumulator_bytes), batch_(g.batch) {
  const int64_t channels = g.out_channels();
  few_channels = few(g, accumulator_bytes);
  channel_blocks = ceil_div(channels, lanes);
  images = channels < lanes ? std::min(lanes / channels, g.batch) : 1;

  column_blocks = ceil_div(g.width.out, kVisitTerms);
  block_columns = ceil_div(g.width.out, column_blocks);
  rows = few_channels ? g.height.out : g.batch * g.height.out;
  visit_rows = std::min(kVisitTerms / block_columns, rows);
  // If the tensors come from far away, what a visit reads stays in L2 until the next one, which
  // shares rows with it, is done; sums, which are read and written, are to be less than that.
  const bool far = come_from_far(g, element_bytes);
  if (far) {
    const int64_t row_elements = (g.height.stride * g.width.in + g.width.out) * channels;
    const int64_t visit_bytes =
        std::max(kVisitBytes, kBytesOfSum * g.filter_elements() * accumulator_bytes);
    visit_rows =
        std::clamp<int64_t>(visit_bytes / (row_elements * accumulator_bytes), 1, visit_rows);
  }

  horizontal = horizontal_sets(g.width);
  int64_t most = 1;
  for (const TapSet& set : horizontal) most = std::max(most, set.count);
  vertical = even_sets(g.height.filter, kernels.filter_grad_rows[most - 1]);

  parts = std::min<int64_t>(g.batch * g.height.out * g.width.out / kTermsOfPart,
                            few_channels ? g.batch : ceil_div(rows, visit_rows));
  parts = parts_of(parts, g.filter_elements(), accumulator_bytes);
  // As many for each thread: most machines have a power of two.
  while ((parts & (parts - 1)) != 0) parts &= parts - 1;

  const int64_t columns = mode == Mode::kPacked ? most_source_columns(g.width) : 0;
  const int64_t visit_source_rows =
      mode == Mode::kPacked ? most_source_rows(g.height, visit_rows) : 0;
  fits = static_cast<double>(visit_source_rows) * columns * kWidestVectorBytes <=
         kMostFilterGradPackedBytes;
  if (!fits) return;
  if (mode == Mode::kTapwise) {
    horizontal = even_sets(g.width.filter, 1);
    vertical = even_sets(g.height.filter, 1);
  }

  sum_row_stride = g.width.filter * 2 * lanes;
  sum_block_stride = g.height.filter * sum_row_stride;
  sums = sum_block_stride * channel_blocks;
  const auto packed_bytes = [&](int64_t band, int64_t source_rows) {
    return (source_rows * columns + band * block_columns) * lanes * accumulator_bytes;
  };
  const int64_t wanted = parts >= kPartsOfWorker * workers ? 1 : items_wanted(workers);
  chunks = std::clamp<int64_t>(wanted / parts, 1,
                               std::max<int64_t>(1, channel_blocks / kLeastChannelBlocks));
  band_rows = visit_rows;
  if (mode == Mode::kPacked) {
    int64_t chunk = 1;
    if (g.layout == conv::Layout::kNHWC) {
      chunk = std::clamp<int64_t>(
          kFilterGradPackedBytes / packed_bytes(visit_rows, visit_source_rows), 1, channel_blocks);
    }
    chunks = std::max(chunks, ceil_div(channel_blocks, chunk));
  }
  if (few_channels) chunks = 1;
  prefetches = mode == Mode::kDirect && chunks == 1 && far;
  // The last block may overlap the one before: one thread has to write both.
  if (channels % lanes != 0) chunks = std::min(chunks, std::max<int64_t>(1, channel_blocks / 2));
  const int64_t chunk = ceil_div(channel_blocks, chunks);
  if (mode == Mode::kPacked) {
    int64_t source_rows = visit_source_rows;
    for (int64_t band = 2 * visit_rows; band <= rows; band += visit_rows) {
      const int64_t more = most_source_rows(g.height, band);
      if (chunk * packed_bytes(band, more) > kFilterGradPackedBytes) break;
      band_rows = band;
      source_rows = more;
    }
    source_row_stride = columns * lanes;
    source_block_stride = source_rows * source_row_stride;
  }
  if (mode == Mode::kTapwise) {
    source_row_stride = block_columns * lanes;
    source_block_stride = visit_rows * source_row_stride;
  }
  if (mode != Mode::kDirect) {
    // 4K aliasing. One vector more: not a multiple of 4 KB, or else blocks would share few sets of
    // L1.
    source_block_stride += lanes;
    out_row_stride = block_columns * lanes;
    out_block_stride = band_rows * out_row_stride + lanes;
  }
  packed_out = chunk * out_block_stride;
  packed_source = chunk * source_block_stride;
}

}  // namespace tf_dwbp::cpu
