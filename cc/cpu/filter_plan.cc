#include "cc/cpu/filter_plan.h"

#include <algorithm>
#include <numeric>

namespace tf_dwbp::cpu {
namespace {

using conv::Axis;
using conv::Geometry;

// A visit reads so many bytes, or so many for each byte of a sum.
constexpr int64_t kVisitBytes = 256 << 10;
constexpr int64_t kBytesOfSum = 8;
// Tensors that are larger come from far away, and visits ask for what the next ones read.
constexpr int64_t kFarBytes = 16 << 20;
// Channels of fewer bytes share vectors with those of other images. The same for every instruction
// set, since it decides on the order of sums.
constexpr int64_t kFewBytes = 64;
// Parts make work for many threads, and make sums that have to be added up.
constexpr int64_t kMostParts = 32;
constexpr int64_t kTermsOfPart = 512;
constexpr int64_t kPartsBytes = 1 << 20;
// The windows of an item stay in L2.
constexpr int64_t kWindowBytes = 192 << 10;
// Larger windows of one vector are not held: taps are summed one by one. Since that is another
// order of sums, it is decided for the widest vectors, and not by those of the instruction set.
constexpr int64_t kMostWindowBytes = 1 << 20;
constexpr int64_t kWidestVectorBytes = 64;
// Groups of a chunk at least: narrow strips of memory are slow to read.
constexpr int64_t kLeastGroups = 4;
// Items for each worker, so that threads finish together.
constexpr int64_t kItemsOfWorker = 4;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::vector<TapSet> even_sets(int64_t taps, int64_t most) {
  const int64_t sets = divide_up(taps, most);
  std::vector<TapSet> made;
  for (int64_t i = 0; i < sets; ++i) {
    const int64_t first = FilterPlan::begin(taps, sets, i);
    made.push_back({first, FilterPlan::begin(taps, sets, i + 1) - first});
  }
  return made;
}

// Sets that there are kernels for.
std::vector<TapSet> horizontal_sets(const Axis& width) {
  const int64_t shift = width.stride / std::gcd(width.stride, width.dilation);
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

Range FilterPlan::part(int64_t i) const {
  if (few) return {begin(batch_, parts, i), begin(batch_, parts, i + 1)};
  const int64_t visits = divide_up(rows, visit_rows);
  return {begin(visits, parts, i) * visit_rows,
          std::min(begin(visits, parts, i + 1) * visit_rows, rows)};
}

int64_t FilterPlan::most_source_columns(const Axis& width) const {
  int64_t most = 0;
  for (int64_t i = 0; i < column_blocks; ++i) {
    const Range columns =
        met(width, begin(width.out, column_blocks, i), begin(width.out, column_blocks, i + 1));
    most = std::max(most, columns.size());
  }
  return most;
}

int64_t FilterPlan::most_source_rows(const Axis& height, int64_t band) const {
  int64_t most = 0;
  const auto see = [&](int64_t begin, int64_t end) {
    int64_t rows = 0;
    for_images(height.out, begin, end, [&](int64_t, int64_t first, int64_t last) {
      rows += met(height, first, last).size();
    });
    most = std::max(most, rows);
  };
  if (few) {
    for_bands({0, rows}, band, see);  // of each image
  } else {
    for (int64_t i = 0; i < parts; ++i) for_bands(part(i), band, see);
  }
  return most;
}

FilterPlan::FilterPlan(const Geometry& g, const KernelTable& kernels, int64_t element_bytes,
                       int64_t accumulator_bytes, int64_t workers)
    : lanes(kernels.vector_bytes / accumulator_bytes), batch_(g.batch) {
  const int64_t channels = g.out_channels();
  few = channels < kFewBytes / accumulator_bytes;
  groups = divide_up(channels, lanes);
  images = channels < lanes ? std::min(lanes / channels, g.batch) : 1;

  column_blocks = divide_up(g.width.out, kVisitTerms);
  block_columns = divide_up(g.width.out, column_blocks);
  rows = few ? g.height.out : g.batch * g.height.out;
  visit_rows = std::min(kVisitTerms / block_columns, rows);
  // If the tensors come from far away, what a visit reads stays in L2 until the next one, which
  // shares rows with it, is done; sums, which are read and written, are to be less than that.
  const bool far = (g.input_elements() + g.output_elements()) * element_bytes >= kFarBytes;
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
  vertical = even_sets(g.height.filter, kernels.filter_rows[most - 1]);

  parts = std::clamp<int64_t>(g.batch * g.height.out * g.width.out / kTermsOfPart, 1, kMostParts);
  parts = std::min(parts, few ? g.batch : divide_up(rows, visit_rows));
  parts =
      std::clamp<int64_t>(kPartsBytes / (2 * accumulator_bytes * g.filter_elements()), 1, parts);

  mode = Mode::kDirect;
  int64_t columns = 0, visit_source_rows = 0;
  if (few || g.layout != conv::Layout::kNHWC || g.multiplier != 1) {
    columns = most_source_columns(g.width);
    visit_source_rows = most_source_rows(g.height, visit_rows);
    const double bytes = static_cast<double>(visit_source_rows) * columns * kWidestVectorBytes;
    mode = bytes <= kMostWindowBytes ? Mode::kWindows : Mode::kTapwise;
  }
  if (mode == Mode::kTapwise) {
    horizontal = even_sets(g.width.filter, 1);
    vertical = even_sets(g.height.filter, 1);
  }

  sum_row = g.width.filter * 2 * lanes;
  sum_group = g.height.filter * sum_row;
  sums = sum_group * groups;
  const auto window_bytes = [&](int64_t band, int64_t source_rows) {
    return (source_rows * columns + band * block_columns) * lanes * accumulator_bytes;
  };
  const int64_t wanted = workers == 1 ? 1 : workers * kItemsOfWorker;
  chunks = std::clamp<int64_t>(wanted / parts, 1, std::max<int64_t>(1, groups / kLeastGroups));
  band_rows = visit_rows;
  out_row = out_group = source_row = source_group = 0;
  if (mode == Mode::kWindows) {
    int64_t chunk = 1;
    if (g.layout == conv::Layout::kNHWC) {
      chunk = std::clamp<int64_t>(kWindowBytes / window_bytes(visit_rows, visit_source_rows), 1,
                                  groups);
    }
    chunks = std::max(chunks, divide_up(groups, chunk));
  }
  if (few) chunks = 1;
  asks = mode == Mode::kDirect && chunks == 1 && far;
  // The last group may overlap the one before: one thread has to write both.
  if (channels % lanes != 0) chunks = std::min(chunks, std::max<int64_t>(1, groups / 2));
  const int64_t chunk = divide_up(groups, chunks);
  int64_t window = 0;
  if (mode == Mode::kWindows) {
    int64_t source_rows = visit_source_rows;
    for (int64_t band = 2 * visit_rows; band <= rows; band += visit_rows) {
      const int64_t more = most_source_rows(g.height, band);
      if (chunk * window_bytes(band, more) > kWindowBytes) break;
      band_rows = band;
      source_rows = more;
    }
    source_row = columns * lanes;
    source_group = source_rows * source_row;
  }
  if (mode == Mode::kTapwise) {
    source_row = block_columns * lanes;
    source_group = visit_rows * source_row;
  }
  if (mode != Mode::kDirect) {
    // One vector more: not a multiple of 4 KB, or else groups would share few sets of L1.
    source_group += lanes;
    out_row = block_columns * lanes;
    out_group = band_rows * out_row + lanes;
    window = chunk * (source_group + out_group);
  }
  worker = window + (few ? sums : 0);
  total = parts * sums + workers * worker;
}

}  // namespace tf_dwbp::cpu
