#include "cc/cpu/direct.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "cc/conv/math.h"
#include "cc/cpu/cost.h"
#include "cc/cpu/direct_tiles.h"
#include "cc/cpu/far.h"
#include "cc/cpu/packed_epilogue.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/runtime/memory.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/tuning.h"
#include "cc/cpu/workspace.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {
namespace {

using conv::begin_of_part;
using conv::ceil_div;
using conv::Gather;
using conv::Gathering;
using conv::Problem;
using conv::TapRange;

// The kernel made for so many taps, or else the one for any number.
template <typename T>
auto direct_kernel(int64_t shift, int taps, int columns) {
  const Kernels<T>& all = kernels<T>();
  const auto made =
      taps <= kMostDirectTaps ? all.dwconv_direct[shift - 1][taps - 1][columns - 1] : nullptr;
  return made != nullptr ? made : all.dwconv_direct_long[shift - 1][columns - 1];
}

// Work is cut into items: a block of rows x a block of columns of a chunk of channel blocks, for
// one image.
template <typename T>
class Direct : public Plan {
  using Acc = AccumulatorOf<T>;

 public:
  Direct(const Problem& problem, int64_t workers);

  void run(const Tensors& tensors, const Parallel& parallel) const override;
  std::string describe() const override;

 private:
  // What the tensors' addresses decide, and they themselves.
  struct Call {
    const Acc* filter;
    const EpilogueJob<Acc>* epilogue;  // nullptr: none
    const T* source;
    T* result;
    bool non_temporal;
    bool write_buffer;
    bool downwards;
  };

  int64_t items() const { return g_.batch * row_blocks_ * column_blocks_ * chunks_; }
  bool has_pairs() const {
    return alternate(g_.width) && g_.width.taps() <= kMostDirectTaps &&
           kernels<T>().dwconv_direct_pairs[g_.width.taps() - 1][0] != nullptr;
  }
  void cut();
  bool stores_meet_loads(const Call& call) const;
  void run_item(const Call& call, int64_t item) const;
  void run_rows(const Call& call, int64_t row, bool two, int64_t column_block,
                DirectJob<T> job) const;
  void prefetch_next(const Call& call, int64_t row, int64_t column_block, int64_t column_phase,
                     DirectJob<T>* job) const;

  const Gathering g_;
  const ChannelBlocks blocks_;
  const PackedFilter filter_;
  WorkspaceLayout layout_;
  const Part<Acc> packed_filter_;
  const PackedEpilogue<T> epilogue_;

  // Rows this far apart are summed together: they gather from the same positions or from neighbours
  // among these.
  const int64_t row_period_;
  const DirectTiles tiles_;

  int64_t row_blocks_;
  int64_t block_rows_;
  int64_t column_blocks_;
  int64_t chunks_;
  bool prefetch_;
  bool past_caches_;
};

template <typename T>
Direct<T>::Direct(const Problem& problem, int64_t workers)
    : Plan(problem, workers),
      g_(gathering_of(problem)),
      blocks_(g_, lanes<T>()),
      filter_(g_, blocks_),
      packed_filter_(layout_.add<Acc>(filter_.elements)),
      epilogue_(problem.epilogue, blocks_, &layout_),
      row_period_(alternate(g_.height) ? 1 : std::min(g_.height.result(), g_.height.period())),
      tiles_(g_.width, g_.channels, dispatch().direct_columns[g_.width.shift() - 1],
             has_pairs() ? dispatch().direct_pairs : 0) {
  workspace_bytes = layout_.bytes();
  cut();
  prefetch_ = chunks_ == 1 && come_from_far(problem.geometry, sizeof(T));
  const double result = static_cast<double>(g_.result_elements()) * sizeof(T);
  const double source = moved_bytes(problem.geometry, sizeof(T)) - result;
  past_caches_ = chunks_ == 1 && goes_past_caches(result, source, sizeof(T), l3_bytes());
}

template <typename T>
void Direct<T>::run(const Tensors& tensors, const Parallel& parallel) const {
  const auto [filter, source] = problem.op == conv::Op::kForward ? std::pair(tensors.b, tensors.a)
                                                                 : std::pair(tensors.a, tensors.b);
  Acc* const packed = packed_filter_.in(tensors.workspace);
  EpilogueJob<Acc> epilogue;
  {
    const ScopedIeeeDenormals ieee;
    pack_filter(g_, blocks_, filter_, static_cast<const T*>(filter), packed);
    epilogue = epilogue_.pack(g_, blocks_, tensors.bias, tensors.workspace);
  }
  Call call{packed,
            epilogue_.empty() ? nullptr : &epilogue,
            static_cast<const T*>(source),
            static_cast<T*>(tensors.result),
            false,
            false,
            false};
  const int64_t vector_bytes = dispatch().vector_bytes;
  const int64_t pixel_bytes = g_.channels * int64_t{sizeof(T)};
  const bool aligned = reinterpret_cast<uintptr_t>(call.result) % vector_bytes == 0 &&
                       pixel_bytes % vector_bytes == 0;
  call.non_temporal = past_caches_ && aligned;
  call.write_buffer =
      call.non_temporal || (!tiles_.pairs && tiles_.period * pixel_bytes % kAliasingBytes == 0);
  call.downwards = !call.write_buffer && stores_meet_loads(call);
  count(tiles_.pairs ? Path::kDirectPairs : Path::kDirect);
  if (call.non_temporal) {
    count(Path::kDirectNonTemporal);
  } else if (call.write_buffer) {
    count(Path::kDirectWriteBuffer);
  }
  if (prefetch_) count(Path::kDirectPrefetch);
  share(parallel, workers, items(), cycles_of(problem, g_, blocks_),
        [&](Items* items, int64_t worker) {
          const ScopedIeeeDenormals ieee;
          for (int64_t item; items->take(worker, &item);) run_item(call, item);
        });
}

template <typename T>
std::string Direct<T>::describe() const {
  std::string tiles;
  for (const ColumnPhase& phase : tiles_.phases) {
    tiles += (tiles.empty() ? "" : ", ") + std::to_string(phase.tiles) + " of 2 rows x " +
             std::to_string(phase.width) + (tiles_.pairs ? " pairs of columns" : " columns") +
             " x " + std::to_string(blocks_.lanes) + " channels, " + std::to_string(phase.taps) +
             (phase.taps == 1 ? " tap" : " taps");
  }
  return "tiles of two rows: " + tiles + "; " + std::to_string(items()) +
         " items: " + std::to_string(g_.batch) + " images x " + std::to_string(row_blocks_) +
         " blocks of rows x " + std::to_string(column_blocks_) + " of columns x " +
         std::to_string(chunks_) + " of channels" + (prefetch_ ? "; prefetches rows" : "") +
         (past_caches_ ? "; stores past the caches" : "");
}

// Whether the channel blocks' vectors of a few steps on would be loaded from where, modulo
// kAliasingBytes, vectors are being stored: then loads wait for these (4K aliasing).
template <typename T>
bool Direct<T>::stores_meet_loads(const Call& call) const {
  const int64_t column_bytes = g_.channels * int64_t{sizeof(T)};
  const int64_t same = std::gcd(column_bytes, kAliasingBytes);
  const int64_t ahead =
      (reinterpret_cast<intptr_t>(call.result) - reinterpret_cast<intptr_t>(call.source)) &
      (same - 1);
  return ahead > 0 && ahead < same / 2;
}

template <typename T>
void Direct<T>::cut() {
  const int64_t wanted = items_wanted(workers);
  row_blocks_ = std::clamp<int64_t>(ceil_div(wanted, g_.batch), 1, ceil_div(g_.height.result(), 2));
  block_rows_ = ceil_div(g_.height.result(), row_blocks_);
  if (block_rows_ > row_period_) {
    block_rows_ = ceil_div(block_rows_, 2 * row_period_) * 2 * row_period_;
  }
  row_blocks_ = ceil_div(g_.height.result(), block_rows_);

  // Tiles that overlap, the last two of a phase, have to be the same thread's.
  int64_t most_blocks = std::numeric_limits<int64_t>::max();
  for (const ColumnPhase& phase : tiles_.phases)
    most_blocks = std::min(most_blocks, phase.tiles / 2);
  const double rows =
      static_cast<double>(g_.height.most_taps() + 2 + g_.height.shift()) * g_.width.source() +
      4.0 * g_.width.result();
  const double blocks = rows * g_.channels * sizeof(T) / kDirectCacheBytes;
  column_blocks_ =
      std::max<int64_t>(1, blocks < most_blocks ? static_cast<int64_t>(blocks) : most_blocks);

  // Where rows alone make too few items. The last block may overlap the one before: one thread
  // has to write both.
  const int64_t missing = wanted / (g_.batch * row_blocks_ * column_blocks_);
  chunks_ =
      std::clamp<int64_t>(missing, 1, std::max<int64_t>(1, blocks_.count / kLeastChannelBlocks));
}

template <typename T>
void Direct<T>::run_item(const Call& call, int64_t item) const {
  const int64_t chunk = item % chunks_;
  item /= chunks_;
  const int64_t column_block = item % column_blocks_;
  item /= column_blocks_;
  const int64_t row_block = item % row_blocks_;
  const int64_t image = item / row_blocks_;

  const int64_t first_block = begin_of_part(blocks_.count, chunks_, chunk);
  const int64_t channel = first_block * blocks_.lanes;
  alignas(64)
      T write_buffer[2 * kMostDirectResults * kWriteBufferBlocks * 64 / sizeof(AccumulatorOf<T>)];
  DirectJob<T> job{};
  job.channel_blocks = begin_of_part(blocks_.count, chunks_, chunk + 1) - first_block;
  job.last_block = blocks_.first_channel(first_block + job.channel_blocks - 1) - channel;
  EpilogueJob<Acc> epilogue;
  if (call.epilogue != nullptr) epilogue = from_block(*call.epilogue, first_block, blocks_);
  job.epilogue = call.epilogue == nullptr ? nullptr : &epilogue;
  job.filter = call.filter + first_block * filter_.block_stride;
  job.filter_block_stride = filter_.block_stride;
  job.filter_column_stride = g_.width.tap_step() * blocks_.lanes;
  job.source_column_stride = g_.width.source_step() * g_.channels;
  job.result_column_stride = tiles_.period * g_.channels;
  job.downwards = call.downwards;
  job.write_buffer = call.write_buffer ? write_buffer : nullptr;
  job.write_buffer_column_stride =
      std::min<int64_t>(kWriteBufferBlocks, job.channel_blocks) * blocks_.lanes;
  job.non_temporal = call.non_temporal;
  job.rows.source =
      call.source + image * g_.height.source() * g_.width.source() * g_.channels + channel;
  job.rows.result[0] =
      call.result + image * g_.height.result() * g_.width.result() * g_.channels + channel;

  const int64_t begin = row_block * block_rows_;
  const int64_t end = std::min(begin + block_rows_, g_.height.result());
  for (int64_t base = begin; base < end; base += 2 * row_period_) {
    for (int64_t row = base; row < std::min(base + row_period_, end); ++row) {
      run_rows(call, row, row + row_period_ < end, column_block, job);
    }
  }
}

// `job` has the image's first rows.
template <typename T>
void Direct<T>::run_rows(const Call& call, int64_t row, bool two, int64_t column_block,
                         DirectJob<T> job) const {
  const int64_t source_row_stride = g_.width.source() * g_.channels;
  const int64_t result_row_stride = g_.width.result() * g_.channels;
  const TapRange taps[2] = {g_.height.at(row), two ? g_.height.at(row + row_period_) : TapRange{}};
  // Rows of the source are counted downwards from the last.
  int64_t last = 0;
  for (const TapRange& t : taps) {
    if (t.count > 0) last = std::max(last, t.source);
  }
  DirectRows<T>& rows = job.rows;
  rows.source_row_stride = g_.height.source_step() * source_row_stride;
  rows.taps_row_stride = g_.height.tap_step() * filter_.row_stride;
  rows.source += last * source_row_stride;
  for (int r = 0; r < 2; ++r) {
    if (taps[r].count == 0) continue;
    rows.begin[r] = (last - taps[r].source) / g_.height.source_step();
    rows.end[r] = rows.begin[r] + taps[r].count;
    rows.count = std::max(rows.count, rows.end[r]);
    rows.taps[r] = taps[r].tap * filter_.row_stride - rows.begin[r] * rows.taps_row_stride;
  }
  rows.result[1] = two ? rows.result[0] + (row + row_period_) * result_row_stride : nullptr;
  rows.result[0] += row * result_row_stride;

  const AccumulatorOf<T>* filter = job.filter;
  for (int64_t i = 0; i < static_cast<int64_t>(tiles_.phases.size()); ++i) {
    const ColumnPhase& phase = tiles_.phases[i];
    const int64_t first_tile =
        phase.first_tile + begin_of_part(phase.tiles, column_blocks_, column_block);
    job.tiles = tiles_.tiles.data() + first_tile;
    job.tile_count = phase.first_tile +
                     begin_of_part(phase.tiles, column_blocks_, column_block + 1) - first_tile;
    job.filter = filter + phase.first_tap * blocks_.lanes;
    if (prefetch_) prefetch_next(call, row, column_block, i, &job);
    if (tiles_.pairs) {
      kernels<T>().dwconv_direct_pairs[phase.taps - 1][phase.width - 1](job);
    } else {
      job.taps = phase.taps;
      direct_kernel<T>(g_.width.shift(), phase.taps, phase.width)(job);
    }
  }
}

// Has the tiles of a phase prefetch their share of what the next pair of rows needs: two rows of
// the result, and of the source the rows that follow the last that this pair needs.
template <typename T>
void Direct<T>::prefetch_next(const Call& call, int64_t row, int64_t column_block,
                              int64_t column_phase, DirectJob<T>* job) const {
  const DirectRows<T>& rows = job->rows;
  const bool near = row_period_ > kLongPeriod;
  // Neighbours of different phases gather from the same source positions: one of them prefetches.
  const int64_t row_phases = g_.height.period() / g_.height.phase_stride();
  const int64_t column_phases = g_.width.period() / g_.width.phase_stride();
  const int64_t next_rows = alternate(g_.height) ? 1 : 2 * g_.height.shift();
  const bool prefetches = column_phase < column_phases && (near || row % row_period_ < row_phases);
  const auto share = [&](int64_t columns, int64_t phases) {
    return begin_of_part(columns, column_blocks_ * phases, column_block * phases + column_phase);
  };
  const int64_t source_column = share(g_.width.source(), column_phases);
  const int64_t result_column = share(g_.width.result(), tiles_.period);
  for (int64_t r = 0; r < 2 * g_.width.shift(); ++r) {
    const int64_t skipped = near ? g_.height.phase_shift() - r * g_.height.source_step()
                                 : (1 + r) * g_.height.source_step();
    const int64_t at =
        (rows.source - call.source) + (skipped * g_.width.source() + source_column) * g_.channels;
    const bool exists = prefetches && r < next_rows && at >= 0 && at < g_.source_elements();
    job->next_source[r] = exists ? reinterpret_cast<const char*>(call.source + at) : nullptr;
  }
  for (int64_t r = 0; r < 2; ++r) {
    const int64_t skipped = near ? 1 + r * row_period_ : (2 + r) * row_period_;
    const int64_t at = (rows.result[0] - call.result) +
                       (skipped * g_.width.result() + result_column) * g_.channels;
    const bool exists = !call.non_temporal && at < g_.result_elements();
    job->next_result[r] = exists ? reinterpret_cast<const char*>(call.result + at) : nullptr;
  }
}

}  // namespace

std::string direct_declines(const Problem& problem) {
  std::string none = declines_without_products(problem);
  if (!none.empty()) return none;
  const Gathering g = gathering_of(problem);
  const int64_t vector = dispatch().vector_bytes / accumulator_bytes_of(problem.dtype);
  if (g.layout != conv::Layout::kNHWC) return "channels are adjacent in NHWC alone";
  if (g.multiplier != 1 || g.repeat != 1) return "the depth multiplier is not 1";
  if (g.channels < vector) {
    return std::to_string(g.channels) + " channels do not fill a vector of " +
           std::to_string(vector);
  }
  const int64_t taps = g.width.most_taps();
  if (g.width.shift() > kMostDirectShift || g.height.shift() > kMostDirectShift) {
    return "neighbours that are summed together gather from positions more than " +
           std::to_string(kMostDirectShift) + " steps apart";
  }
  if (taps > kMostLongTaps) {
    return std::to_string(taps) + " horizontal taps are more than " + std::to_string(kMostLongTaps);
  }
  return "";
}

PlanPointer plan_direct(const Problem& problem, int64_t workers) {
  return with_dtype(problem.dtype, [&](auto t) -> PlanPointer {
    return std::make_unique<Direct<decltype(t)>>(problem, workers);
  });
}

}  // namespace tf_dwbp::cpu
