#include "cc/cpu/gather.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cc/cpu/denormals.h"
#include "cc/cpu/gather_direct.h"
#include "cc/cpu/gather_plan.h"
#include "cc/cpu/paths.h"
#include "cc/cpu/steps.h"
#include "cc/cpu/tables.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gathering;
using conv::Layout;
using conv::TapRange;

// A call, and what all of its items share.
template <typename T>
struct Call {
  const Gathering& gathering;
  const GatherPlan& plan;
  const T* source;
  T* result;
  const AccumulatorOf<T>* filter;  // packed
  Steps from;
  Steps to;
};

// What items cost when they share the work evenly, in cycles: vectors of the result, and for each
// its taps. Memory is left out on purpose. What is small enough for that to matter is in the
// cache, and waking a second thread too early was seen to cost more than waking it too late.
double cycles_of_item(const Gathering& g, const GatherPlan& plan, int64_t items) {
  const double taps = g.height.average_taps() * g.width.average_taps() * g.multiplier;
  const double vectors = static_cast<double>(g.height.result()) * g.width.result() * plan.groups *
                         plan.image_blocks / items;
  return vectors * (4 + taps);
}

// Does the items of one worker, one after the other.
template <typename T>
class Worker {
  using Acc = AccumulatorOf<T>;

 public:
  Worker(const Call<T>& call, Acc* scratch)
      : call_(call),
        g_(call.gathering),
        plan_(call.plan),
        window_(scratch),
        stage_(scratch + plan_.window),
        rows_(plan_.band_rows) {
    // Idle lanes are summed like the others, of whatever numbers; nobody looks at their sums.
    if (plan_.few) std::memset(window_, 0, plan_.window * sizeof(Acc));
  }

  void run(int64_t item) {
    const int64_t chunk = item % plan_.chunks;
    item /= plan_.chunks;
    const int64_t column_block = item % plan_.column_blocks;
    item /= plan_.column_blocks;
    const int64_t row_block = item % plan_.row_blocks;
    set_columns(column_block);
    set_lanes(item / plan_.row_blocks, chunk);

    const int64_t end = plan_.begin(g_.height.result(), plan_.row_blocks, row_block + 1);
    loaded_ = 0;
    for (int64_t y = plan_.begin(g_.height.result(), plan_.row_blocks, row_block); y < end;
         y += plan_.band_rows) {
      const int64_t band = std::min(plan_.band_rows, end - y);
      if (plan_.streamed) {
        stream_row(y);
      } else {
        sum_band(y, band);
      }
      if (plan_.staged) store_band(y, band);
    }
  }

 private:
  void set_columns(int64_t block) {
    if (block == column_block_) return;
    column_block_ = block;
    first_column_ = plan_.begin(g_.width.result(), plan_.column_blocks, block);
    end_column_ = plan_.begin(g_.width.result(), plan_.column_blocks, block + 1);
    tiles_ = make_tiles(g_.width, first_column_, end_column_);
  }

  void set_lanes(int64_t image_block, int64_t chunk) {
    image_ = image_block * plan_.images;
    first_group_ = plan_.begin(plan_.groups, plan_.chunks, chunk);
    groups_ = plan_.begin(plan_.groups, plan_.chunks, chunk + 1) - first_group_;
    channel_ = first_group_ * plan_.lanes;
    // The last group overlaps the one before if there are not channels enough.
    last_ = std::min((groups_ - 1) * plan_.lanes, g_.channels - plan_.lanes - channel_);
    if (g_.channels < plan_.lanes) last_ = 0;
    images_ = std::min(plan_.images, g_.batch - image_);
  }

  // The lanes of this item in a tensor where channels lie `channel_step` apart.
  LaneMap lane_map(int64_t channel_step, int64_t image_step) const {
    return {groups_, last_, images_, image_step, std::min(g_.channels, plan_.lanes), channel_step};
  }

  // Loads rows [begin, end) of the source, for all or one index of the multiplier.
  void load_rows(int64_t begin, int64_t end, int64_t slot, int64_t m, int64_t multiplier) {
    if (begin >= end || tiles_.source.count == 0) return;
    const Steps& from = call_.from;
    CopyJob<const T> job;
    job.lanes = lane_map(from.channel * g_.multiplier, from.image);
    job.lanes.repeat = g_.repeat;
    job.lanes.phase = channel_ % g_.repeat;
    job.tensor = call_.source + image_ * from.image +
                 (channel_ / g_.repeat * g_.multiplier + m) * from.channel + begin * from.row +
                 tiles_.source.first * from.column;
    job.window = window_;
    job.multiplier = multiplier;
    job.rows = end - begin;
    job.columns = tiles_.source.count;
    job.multiplier_step = from.channel;
    job.row_step = from.row;
    job.column_step = from.column;
    job.window_group = plan_.window_group;
    job.window_multiplier = plan_.window_multiplier;
    job.window_row = plan_.window_row;
    job.first_slot = slot;
    job.slots = plan_.slots;
    kernels<T>().load(job);
  }

  // All but the filter, the result and the taps.
  template <typename R>
  SumJob<R> sum_job(int64_t band, int64_t multiplier) const {
    SumJob<R> job;
    job.window = window_;
    job.masks = tiles_.masks.data();
    job.accumulate = false;
    job.groups = groups_;
    job.multiplier = multiplier;
    job.rows = rows_.data();
    job.row_count = band;
    job.window_group = plan_.window_group;
    job.window_multiplier = plan_.window_multiplier;
    job.window_row = plan_.window_row;
    job.slots = plan_.slots;
    job.filter = call_.filter + first_group_ * plan_.filter_group;
    job.filter_group = plan_.filter_group;
    job.filter_multiplier = plan_.filter_multiplier;
    job.filter_row = plan_.filter_row;
    // A step that is larger than what it steps through is never taken; cut, its products can't
    // overflow.
    job.vertical_tap = std::min(g_.height.tap_step(), g_.height.taps());
    job.vertical_slot = std::min(g_.height.source_step(), plan_.slots);
    job.horizontal_tap = std::min(g_.width.tap_step(), g_.width.taps());
    job.horizontal_column = g_.width.source_step();
    job.window_of_tile = g_.width.class_shift() * plan_.lanes;
    return job;
  }

  template <typename R>
  void sum_tiles(SumJob<R> job) const {
    const bool adjacent = g_.width.class_shift() == 1;
    job.column_of_tile = job.result_column * g_.width.class_step();
    for (const Tiles::Class& c : tiles_.classes) {
      job.tiles = tiles_.tiles.data() + c.first_tile;
      job.tile_count = c.tiles;
      kernels<R>().sum[adjacent][c.width - 1](job);
    }
  }

  void sum_band(int64_t y, int64_t band) {
    int64_t end = 0;
    for (int64_t r = 0; r < band; ++r) {
      const TapRange taps = g_.height.at(y + r);
      rows_[r] = {taps, taps.source % plan_.slots};
      if (taps.count > 0) end = std::max(end, taps.source + 1);
    }
    // With dilation, later bands may need rows in between that this one does not.
    const int64_t begin = std::max(g_.height.lowest_source(y), loaded_);
    load_rows(begin, end, begin % plan_.slots, 0, g_.multiplier);
    loaded_ = std::max(loaded_, end);

    if (plan_.staged) {
      SumJob<Acc> job = sum_job<Acc>(band, g_.multiplier);
      set_stage(&job);
      sum_tiles(job);
      return;
    }
    SumJob<T> job = sum_job<T>(band, g_.multiplier);
    job.result = call_.result + image_ * call_.to.image + y * call_.to.row +
                 first_column_ * call_.to.column + channel_;
    job.result_group = plan_.lanes;
    job.result_last = last_;
    job.result_row = call_.to.row;
    job.result_column = call_.to.column;
    sum_tiles(job);
  }

  // One row of the result, from one row of the source after the other.
  void stream_row(int64_t y) {
    SumJob<Acc> job = sum_job<Acc>(1, 1);
    set_stage(&job);
    const TapRange taps = g_.height.at(y);
    if (taps.count == 0) {
      rows_[0] = {};
      sum_tiles(job);
      return;
    }
    for (int64_t m = 0; m < g_.multiplier; ++m) {
      for (int64_t i = 0; i < taps.count; ++i) {
        const int64_t tap = taps.tap + i * g_.height.tap_step();
        const int64_t out = taps.source - i * g_.height.source_step();
        rows_[0] = {{tap, out, 1}, 0};
        load_rows(out, out + 1, 0, m, 1);
        sum_tiles(job);
        job.accumulate = true;
      }
      job.filter += plan_.filter_multiplier;
    }
  }

  void set_stage(SumJob<Acc>* job) const {
    job->result = stage_;
    job->result_group = 0;  // staged chunks are one group
    job->result_last = 0;
    job->result_row = plan_.stage_row;
    job->result_column = plan_.lanes;
  }

  void store_band(int64_t y, int64_t band) {
    const Steps& to = call_.to;
    CopyJob<T> job;
    job.lanes = lane_map(to.channel, to.image);
    // The lanes that another group has as well are left to that.
    const int64_t shared = std::max<int64_t>(0, -last_);
    job.lanes.channels -= shared;
    job.lanes.last = 0;
    job.tensor = call_.result + image_ * to.image + channel_ * to.channel + y * to.row +
                 first_column_ * to.column;
    job.window = stage_ + shared;
    job.multiplier = 1;
    job.rows = band;
    job.columns = end_column_ - first_column_;
    job.multiplier_step = 0;
    job.row_step = to.row;
    job.column_step = to.column;
    job.window_group = 0;
    job.window_multiplier = 0;
    job.window_row = plan_.stage_row;
    job.first_slot = 0;
    job.slots = band;
    kernels<T>().store(job);
  }

  const Call<T>& call_;
  const Gathering& g_;
  const GatherPlan& plan_;
  Acc* const window_;
  Acc* const stage_;
  std::vector<SumRow> rows_;

  int64_t column_block_ = -1;
  int64_t first_column_ = 0;
  int64_t end_column_ = 0;
  Tiles tiles_;

  int64_t image_ = 0;
  int64_t images_ = 0;
  int64_t first_group_ = 0;
  int64_t groups_ = 0;
  int64_t channel_ = 0;
  int64_t last_ = 0;  // from the first group's channel to the last group's

  int64_t loaded_ = 0;  // rows of the source below this are in the window, or were
};

// Lays the filter out like a window, its taps in the place of columns.
template <typename T>
void pack_filter(const Gathering& g, const GatherPlan& plan, const T* filter,
                 AccumulatorOf<T>* packed) {
  const int64_t lanes = std::min(g.channels, plan.lanes);
  if (lanes < plan.lanes) std::memset(packed, 0, plan.filter * sizeof(*packed));
  const int64_t rows = g.height.taps(), columns = g.width.taps();
  const int64_t column = g.channels * g.multiplier;
  const int64_t direction = g.reversed ? -1 : 1;
  CopyJob<const T> job;
  job.tensor = filter + (g.reversed ? (rows * columns - 1) * column : 0);
  job.window = packed;
  job.lanes = {plan.groups, g.channels - lanes, plan.images, /*image_step=*/0, lanes, g.multiplier};
  job.multiplier = g.multiplier;
  job.rows = rows;
  job.columns = columns;
  job.multiplier_step = 1;
  job.row_step = direction * columns * column;
  job.column_step = direction * column;
  job.window_group = plan.filter_group;
  job.window_multiplier = plan.filter_multiplier;
  job.window_row = plan.filter_row;
  job.first_slot = 0;
  job.slots = rows;
  kernels<T>().load(job);
}

template <typename T>
GatherPlan plan_for(const Gathering& g, int64_t workers) {
  return GatherPlan(g, lanes<T>(), sizeof(AccumulatorOf<T>), workers);
}

bool empty(const Gathering& g) { return g.result_elements() == 0 || g.source_elements() == 0; }

}  // namespace

template <typename T>
int64_t gather_workspace_bytes(const Gathering& g, int64_t workers) {
  if (empty(g)) return 0;
  return plan_for<T>(g, workers).total * sizeof(AccumulatorOf<T>);
}

template <typename T>
void gather(const Gathering& g, int64_t workers, const T* filter, const T* source, T* result,
            void* workspace, const Parallel& parallel) {
  if (empty(g)) {
    count(Path::kEmpty);
    if (g.result_elements() > 0) std::memset(result, 0, g.result_elements() * sizeof(T));
    return;
  }
  const GatherPlan plan = plan_for<T>(g, workers);
  auto* packed = static_cast<AccumulatorOf<T>*>(workspace);
  auto* scratch = packed + plan.filter;
  {
    const ScopedIeeeDenormals ieee;
    pack_filter(g, plan, filter, packed);
  }
  if (DirectGather<T>::suits(g)) {
    const DirectGather<T> direct(g, plan, packed, source, result, workers);
    share(parallel, workers, direct.items(), cycles_of_item(g, plan, direct.items()),
          [&](Items* items, int64_t) {
            const ScopedIeeeDenormals ieee;
            for (int64_t item; items->take(&item);) direct.run(item);
          });
    return;
  }
  count(plan.streamed ? Path::kPackedRowWise : Path::kPacked);
  if (plan.images > 1) count(Path::kPackedShared);
  const Call<T> call{g,
                     plan,
                     source,
                     result,
                     packed,
                     Steps(g.layout, g.source_channels(), g.height.source(), g.width.source()),
                     Steps(g.layout, g.channels, g.height.result(), g.width.result())};
  share(parallel, workers, plan.items(), cycles_of_item(g, plan, plan.items()),
        [&](Items* items, int64_t worker) {
          const ScopedIeeeDenormals ieee;
          Worker<T> runner(call, scratch + worker * (plan.window + plan.stage));
          for (int64_t item; items->take(&item);) runner.run(item);
        });
}

#define TF_DWBP_INSTANTIATE(T)                                           \
  template int64_t gather_workspace_bytes<T>(const Gathering&, int64_t); \
  template void gather<T>(const Gathering&, int64_t, const T*, const T*, T*, void*, const Parallel&)
TF_DWBP_INSTANTIATE(Half);
TF_DWBP_INSTANTIATE(Bfloat16);
TF_DWBP_INSTANTIATE(float);
TF_DWBP_INSTANTIATE(double);
#undef TF_DWBP_INSTANTIATE

}  // namespace tf_dwbp::cpu
