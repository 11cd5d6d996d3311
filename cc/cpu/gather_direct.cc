#include "cc/cpu/gather_direct.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "cc/cpu/paths.h"
#include "cc/cpu/tables.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gather;
using conv::Gathering;
using conv::TapRange;

// What a pair of rows reads and writes stays in L2 until the next pair has read it too.
constexpr int64_t kCacheBytes = 640 << 10;
// Tensors that are larger come from, and go to, far away: rows are asked for ahead of time.
constexpr int64_t kPrefetchBytes = 1 << 20;
// A result this large would leave the caches before anybody reads it: it is written past them,
// which spares reading it first.
constexpr int64_t kStreamBytes = 32 << 20;
// Columns this far apart share few sets of the caches. Written in longer pieces, they evict each
// other less. Processors take a load for one of what was stored this far away until they know
// better.
constexpr int64_t kConflictBytes = 4096;
// Groups of a chunk at least: narrow strips of memory are slow to read.
constexpr int64_t kLeastGroups = 4;
// Items for each worker, so that threads finish together.
constexpr int64_t kItemsOfWorker = 4;
// With longer periods, the next rows are those that follow, not those after the period.
constexpr int64_t kLongPeriod = 4;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Tiles may overlap, so that all are of one width.
int best_width(int64_t columns, int most) {
  int best = 1;
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (int width = 1; width <= most; ++width) {
    const int64_t cost = divide_up(columns, width) * (width + 1);
    if (cost <= best_cost) {
      best = width;
      best_cost = cost;
    }
  }
  return best;
}

// Whether neighbours gather from the same positions, through every other tap.
bool alternate(const Gather& axis) {
  return axis.tap_step() == 2 && axis.class_step() == 2 && axis.source_step() == 1;
}

}  // namespace

template <typename T>
bool DirectGather<T>::suits(const Gathering& g) {
  return g.layout == conv::Layout::kNHWC && g.multiplier == 1 && g.repeat == 1 &&
         g.channels >= lanes<T>() && g.width.most_taps() <= kMostDirectTaps &&
         g.width.shift() <= kMostDirectShift && g.height.shift() <= kMostDirectShift &&
         kernels<T>().direct[g.width.shift() - 1][g.width.most_taps() - 1][0] != nullptr;
}

template <typename T>
DirectGather<T>::DirectGather(const Gathering& call, const GatherPlan& plan,
                              const AccumulatorOf<T>* filter, const T* source, T* result,
                              int64_t workers)
    : g_(call),
      plan_(plan),
      filter_(filter),
      source_(source),
      result_(result),
      pairs_(alternate(g_.width) && g_.width.taps() <= kMostDirectTaps &&
             kernels<T>().direct_pairs[g_.width.taps() - 1][0] != nullptr),
      row_period_(alternate(g_.height) ? 1 : std::min(g_.height.result(), g_.height.period())),
      column_period_(pairs_ ? 1 : std::min(g_.width.result(), g_.width.period())) {
  make_tiles();
  cut(workers);
  const int64_t bytes = g_.result_elements() * int64_t{sizeof(T)};
  const int64_t source_bytes = g_.source_elements() * int64_t{sizeof(T)};
  const int64_t column_bytes = column_period_ * g_.channels * int64_t{sizeof(T)};
  const int64_t vector_bytes = kernel_table().vector_bytes;
  const bool aligned = reinterpret_cast<uintptr_t>(result) % vector_bytes == 0 &&
                       g_.channels * int64_t{sizeof(T)} % vector_bytes == 0;
  prefetch_ = chunks_ == 1 && bytes + source_bytes >= kPrefetchBytes;
  stream_ = chunks_ == 1 && bytes >= kStreamBytes && aligned;
  stage_ = stream_ || (!pairs_ && column_bytes % kConflictBytes == 0);
  downwards_ = !stage_ && stores_meet_loads();
  count(pairs_ ? Path::kDirectPairs : Path::kDirect);
  if (stream_) {
    count(Path::kDirectNonTemporal);
  } else if (stage_) {
    count(Path::kDirectWriteBuffer);
  }
  if (prefetch_) count(Path::kDirectPrefetch);
}

template <typename T>
void DirectGather<T>::make_tiles() {
  if (pairs_) {
    // Where the first column has the odd taps, it is the second of a pair.
    const int64_t first = -g_.width.without_borders(0).tap;
    const int taps = static_cast<int>(g_.width.taps());
    add_class(first, 2, 2, taps, kernel_table().direct_pairs);
    return;
  }
  for (int64_t first = 0; first < column_period_; ++first) {
    const int64_t taps = g_.width.without_borders(first).count;
    add_class(first, column_period_, 1, std::max<int>(1, static_cast<int>(taps)),
              kernel_table().direct_columns[g_.width.shift() - 1]);
  }
}

// Adds the tiles of columns `first`, `first` + period, ..., or of as many neighbours of each.
template <typename T>
void DirectGather<T>::add_class(int64_t first, int64_t period, int neighbours, int taps, int most) {
  const Gather& width = g_.width;
  const TapRange range = width.without_borders(first);
  const int64_t columns = (width.result() - 1 - first) / period + 1;
  const int tile_width = best_width(columns, most);
  const int64_t tiles = divide_up(columns, tile_width);
  classes_.push_back({range.tap, taps, tile_width, static_cast<int64_t>(tiles_.size()), tiles});
  const int64_t reached = std::max<int64_t>(1, range.count);
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t skipped = std::min(i * tile_width, columns - tile_width);
    const int64_t column = first + skipped * period;
    DirectTile tile{column * g_.channels, 0, 0, 0};
    for (int64_t x = 0; x < tile_width; ++x) {
      for (int64_t n = 0; n < neighbours; ++n) {
        const int64_t at = column + x * period + n;
        if (at >= 0 && at < width.result()) tile.write |= uint32_t{1} << (x * neighbours + n);
      }
    }
    if (range.count > 0) {
      const int64_t lowest =
          range.source + (skipped * width.shift() - (reached - 1)) * width.source_step();
      tile.source = lowest * g_.channels;
      const int64_t held = (tile_width - 1) * width.shift() + reached;
      for (int64_t j = 0; j < held; ++j) {
        const int64_t from = lowest + j * width.source_step();
        if (from >= 0 && from < width.source()) tile.inside |= uint32_t{1} << j;
      }
    }
    tiles_.push_back(tile);
  }
}

// Whether the groups' vectors of a few steps on would be loaded from where, modulo kConflictBytes,
// vectors are being stored: then loads wait for these.
template <typename T>
bool DirectGather<T>::stores_meet_loads() const {
  const int64_t column_bytes = g_.channels * int64_t{sizeof(T)};
  const int64_t same = std::gcd(column_bytes, kConflictBytes);
  const int64_t ahead =
      (reinterpret_cast<intptr_t>(result_) - reinterpret_cast<intptr_t>(source_)) & (same - 1);
  return ahead > 0 && ahead < same / 2;
}

template <typename T>
void DirectGather<T>::cut(int64_t workers) {
  const int64_t wanted = workers == 1 ? 1 : workers * kItemsOfWorker;
  row_blocks_ =
      std::clamp<int64_t>(divide_up(wanted, g_.batch), 1, divide_up(g_.height.result(), 2));
  block_rows_ = divide_up(g_.height.result(), row_blocks_);
  if (block_rows_ > row_period_) {
    block_rows_ = divide_up(block_rows_, 2 * row_period_) * 2 * row_period_;
  }
  row_blocks_ = divide_up(g_.height.result(), block_rows_);

  // Tiles that overlap, the last two of a class, have to be the same thread's.
  int64_t most_blocks = std::numeric_limits<int64_t>::max();
  for (const Class& c : classes_) most_blocks = std::min(most_blocks, c.tiles / 2);
  const double rows =
      static_cast<double>(g_.height.most_taps() + 2 + g_.height.shift()) * g_.width.source() +
      4.0 * g_.width.result();
  const double blocks = rows * g_.channels * sizeof(T) / kCacheBytes;
  column_blocks_ =
      std::max<int64_t>(1, blocks < most_blocks ? static_cast<int64_t>(blocks) : most_blocks);

  // Where rows alone make too few items. The last group may overlap the one before: one thread
  // has to write both.
  const int64_t missing = wanted / (g_.batch * row_blocks_ * column_blocks_);
  chunks_ = std::clamp<int64_t>(missing, 1, std::max<int64_t>(1, plan_.groups / kLeastGroups));
}

template <typename T>
void DirectGather<T>::run(int64_t item) const {
  const int64_t chunk = item % chunks_;
  item /= chunks_;
  const int64_t column_block = item % column_blocks_;
  item /= column_blocks_;
  const int64_t row_block = item % row_blocks_;
  const int64_t image = item / row_blocks_;

  const int64_t first_group = plan_.begin(plan_.groups, chunks_, chunk);
  const int64_t channel = first_group * plan_.lanes;
  alignas(64) T stage[2 * kMostDirectResults * kStageGroups * 64 / sizeof(AccumulatorOf<T>)];
  DirectJob<T> job{};
  job.groups = plan_.begin(plan_.groups, chunks_, chunk + 1) - first_group;
  job.last = std::min((job.groups - 1) * plan_.lanes, g_.channels - plan_.lanes - channel);
  job.filter = filter_ + first_group * plan_.filter_group;
  job.filter_group = plan_.filter_group;
  job.filter_column = g_.width.tap_step() * plan_.lanes;
  job.source_column = g_.width.source_step() * g_.channels;
  job.result_column = column_period_ * g_.channels;
  job.downwards = downwards_;
  job.stage = stage_ ? stage : nullptr;
  job.stage_column = std::min<int64_t>(kStageGroups, job.groups) * plan_.lanes;
  job.stream = stream_;
  job.rows.source =
      source_ + image * g_.height.source() * g_.width.source() * g_.channels + channel;
  job.rows.result[0] =
      result_ + image * g_.height.result() * g_.width.result() * g_.channels + channel;

  const int64_t begin = row_block * block_rows_;
  const int64_t end = std::min(begin + block_rows_, g_.height.result());
  for (int64_t base = begin; base < end; base += 2 * row_period_) {
    for (int64_t row = base; row < std::min(base + row_period_, end); ++row) {
      run_rows(row, row + row_period_ < end, column_block, job);
    }
  }
}

// `job` has the image's first rows.
template <typename T>
void DirectGather<T>::run_rows(int64_t row, bool two, int64_t column_block,
                               DirectJob<T> job) const {
  const int64_t source_row = g_.width.source() * g_.channels;
  const int64_t result_row = g_.width.result() * g_.channels;
  const TapRange taps[2] = {g_.height.at(row), two ? g_.height.at(row + row_period_) : TapRange{}};
  // Rows of the source are counted downwards from the last.
  int64_t last = 0;
  for (const TapRange& t : taps) {
    if (t.count > 0) last = std::max(last, t.source);
  }
  DirectRows<T>& rows = job.rows;
  rows.source_step = g_.height.source_step() * source_row;
  rows.taps_step = g_.height.tap_step() * plan_.filter_row;
  rows.source += last * source_row;
  for (int r = 0; r < 2; ++r) {
    if (taps[r].count == 0) continue;
    rows.begin[r] = (last - taps[r].source) / g_.height.source_step();
    rows.end[r] = rows.begin[r] + taps[r].count;
    rows.count = std::max(rows.count, rows.end[r]);
    rows.taps[r] = taps[r].tap * plan_.filter_row - rows.begin[r] * rows.taps_step;
  }
  rows.result[1] = two ? rows.result[0] + (row + row_period_) * result_row : nullptr;
  rows.result[0] += row * result_row;

  const AccumulatorOf<T>* filter = job.filter;
  for (int64_t i = 0; i < static_cast<int64_t>(classes_.size()); ++i) {
    const Class& c = classes_[i];
    const int64_t first_tile = c.first_tile + plan_.begin(c.tiles, column_blocks_, column_block);
    job.tiles = tiles_.data() + first_tile;
    job.tile_count =
        c.first_tile + plan_.begin(c.tiles, column_blocks_, column_block + 1) - first_tile;
    job.filter = filter + c.first_tap * plan_.lanes;
    if (prefetch_) ask(row, column_block, i, &job);
    if (pairs_) {
      kernels<T>().direct_pairs[c.taps - 1][c.width - 1](job);
    } else {
      kernels<T>().direct[g_.width.shift() - 1][c.taps - 1][c.width - 1](job);
    }
  }
}

// Has the tiles of a class ask for their share of what the next pair of rows needs: two rows of
// the result, and of the source the rows that follow the last that this pair needs.
template <typename T>
void DirectGather<T>::ask(int64_t row, int64_t column_block, int64_t column_class,
                          DirectJob<T>* job) const {
  const DirectRows<T>& rows = job->rows;
  const bool near = row_period_ > kLongPeriod;
  // Result positions of one class step gather from the same source positions: one of them asks.
  const int64_t row_classes = g_.height.period() / g_.height.class_step();
  const int64_t column_classes = g_.width.period() / g_.width.class_step();
  const int64_t next_rows = alternate(g_.height) ? 1 : 2 * g_.height.shift();
  const bool asks = column_class < column_classes && (near || row % row_period_ < row_classes);
  const auto share = [&](int64_t columns, int64_t classes) {
    return plan_.begin(columns, column_blocks_ * classes, column_block * classes + column_class);
  };
  const int64_t source_column = share(g_.width.source(), column_classes);
  const int64_t result_column = share(g_.width.result(), column_period_);
  for (int64_t r = 0; r < 2 * g_.width.shift(); ++r) {
    const int64_t skipped = near ? g_.height.class_shift() - r * g_.height.source_step()
                                 : (1 + r) * g_.height.source_step();
    const int64_t at =
        (rows.source - source_) + (skipped * g_.width.source() + source_column) * g_.channels;
    const bool exists = asks && r < next_rows && at >= 0 && at < g_.source_elements();
    job->next_source[r] = exists ? reinterpret_cast<const char*>(source_ + at) : nullptr;
  }
  for (int64_t r = 0; r < 2; ++r) {
    const int64_t skipped = near ? 1 + r * row_period_ : (2 + r) * row_period_;
    const int64_t at =
        (rows.result[0] - result_) + (skipped * g_.width.result() + result_column) * g_.channels;
    const bool exists = !stream_ && at < g_.result_elements();
    job->next_result[r] = exists ? reinterpret_cast<const char*>(result_ + at) : nullptr;
  }
}

template class DirectGather<Half>;
template class DirectGather<Bfloat16>;
template class DirectGather<float>;
template class DirectGather<double>;

}  // namespace tf_dwbp::cpu
