// Does the items of the packed implementation: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cc/conv/math.h"
#include "cc/cpu/packed_epilogue.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/packed_plan.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// A call, and what all of its items share.
template <typename T>
struct PackedCall {
  const conv::Gathering& gathering;
  const PackedPlan& plan;
  const ChannelBlocks& blocks;
  const PackedFilter& filter_layout;
  const T* source;
  T* result;
  const AccumulatorOf<T>* filter;                 // packed
  const EpilogueJob<AccumulatorOf<T>>* epilogue;  // nullptr: none
  TensorStrides from;
  TensorStrides to;
};

// The parts of a worker's workspace.
template <typename T>
struct PackedScratch {
  PackedScratch(const PackedPlan& plan, WorkspaceLayout* layout)
      : packed(layout->add<AccumulatorOf<T>>(plan.packed)),
        write_buffer(layout->add<AccumulatorOf<T>>(plan.write_buffer)),
        rows(layout->add<RowTaps>(plan.band_rows)) {}

  Part<AccumulatorOf<T>> packed;
  Part<AccumulatorOf<T>> write_buffer;
  Part<RowTaps> rows;
};

// Does the items of one worker, one after the other.
template <typename T>
class PackedWorker {
  using Acc = AccumulatorOf<T>;

 public:
  PackedWorker(const PackedCall<T>& call, const PackedScratch<T>& scratch, void* workspace)
      : call_(call),
        g_(call.gathering),
        plan_(call.plan),
        blocks_(call.blocks),
        filter_(call.filter_layout),
        packed_(scratch.packed.in(workspace)),
        write_buffer_(scratch.write_buffer.in(workspace)),
        rows_(scratch.rows.in(workspace)) {
    // Idle lanes are summed like the others; nobody looks at their sums.
    if (blocks_.few) std::memset(packed_, 0, plan_.packed * sizeof(Acc));
  }

  void run(int64_t item) {
    const int64_t chunk = item % plan_.chunks;
    item /= plan_.chunks;
    const int64_t column_blocks = static_cast<int64_t>(plan_.column_blocks.size());
    columns_ = &plan_.column_blocks[item % column_blocks];
    item /= column_blocks;
    const int64_t row_block = item % plan_.row_blocks;
    set_lanes(item / plan_.row_blocks, chunk);

    const int64_t end = conv::begin_of_part(g_.height.result(), plan_.row_blocks, row_block + 1);
    packed_end_ = 0;
    for (int64_t y = conv::begin_of_part(g_.height.result(), plan_.row_blocks, row_block); y < end;
         y += plan_.band_rows) {
      const int64_t band = std::min(plan_.band_rows, end - y);
      if (plan_.row_wise) {
        compute_row_wise(y);
      } else {
        compute_band(y, band);
      }
      if (plan_.buffered) unpack_band(y, band);
    }
  }

 private:
  void set_lanes(int64_t image_block, int64_t chunk) {
    image_ = image_block * blocks_.images;
    first_block_ = conv::begin_of_part(blocks_.count, plan_.chunks, chunk);
    channel_blocks_ = conv::begin_of_part(blocks_.count, plan_.chunks, chunk + 1) - first_block_;
    channel_ = first_block_ * blocks_.lanes;
    last_ = blocks_.first_channel(first_block_ + channel_blocks_ - 1) - channel_;
    images_ = std::min(blocks_.images, g_.batch - image_);
    if (call_.epilogue != nullptr) epilogue_ = from_block(*call_.epilogue, first_block_, blocks_);
  }

  // Of sums that are finished; those that will be added to have none.
  const EpilogueJob<Acc>* epilogue() const {
    return call_.epilogue == nullptr ? nullptr : &epilogue_;
  }

  // The lanes of this item in a tensor where channels lie `channel_stride` apart.
  LaneMap lane_map(int64_t channel_stride, int64_t image_stride) const {
    return {channel_blocks_, last_, images_, image_stride, std::min(g_.channels, blocks_.lanes),
            channel_stride};
  }

  // Packs rows [begin, end) of the source, for all or one index of the multiplier.
  void pack_rows(int64_t begin, int64_t end, int64_t slot, int64_t m, int64_t multiplier) {
    if (begin >= end || columns_->source.count == 0) return;
    const TensorStrides& from = call_.from;
    PackJob<const T> job;
    job.lanes = lane_map(from.channel * g_.multiplier, from.image);
    job.lanes.repeat = g_.repeat;
    job.lanes.skipped_repeats = channel_ % g_.repeat;
    job.tensor = call_.source + image_ * from.image +
                 (channel_ / g_.repeat * g_.multiplier + m) * from.channel + begin * from.row +
                 columns_->source.first * from.column;
    job.packed = packed_;
    job.multiplier = multiplier;
    job.rows = end - begin;
    job.columns = columns_->source.count;
    job.multiplier_stride = from.channel;
    job.row_stride = from.row;
    job.column_stride = from.column;
    job.packed_block_stride = plan_.packed_block_stride;
    job.packed_multiplier_stride = plan_.packed_multiplier_stride;
    job.packed_row_stride = plan_.packed_row_stride;
    job.first_slot = slot;
    job.slots = plan_.slots;
    kernels<T>().pack(job);
  }

  // All but the filter, the result and the taps.
  template <typename R>
  PackedJob<R> make_job(int64_t band, int64_t multiplier) const {
    PackedJob<R> job;
    job.packed = packed_;
    job.masks = columns_->masks.data();
    job.accumulate = false;
    job.epilogue = epilogue();
    job.channel_blocks = channel_blocks_;
    job.multiplier = multiplier;
    job.rows = rows_;
    job.row_count = band;
    job.packed_block_stride = plan_.packed_block_stride;
    job.packed_multiplier_stride = plan_.packed_multiplier_stride;
    job.packed_row_stride = plan_.packed_row_stride;
    job.slots = plan_.slots;
    job.filter = call_.filter + first_block_ * filter_.block_stride;
    job.filter_block_stride = filter_.block_stride;
    job.filter_multiplier_stride = filter_.multiplier_stride;
    job.filter_row_stride = filter_.row_stride;
    // A step that is larger than what it steps through is never taken; cut, its products can't
    // overflow.
    job.vertical_tap = std::min(g_.height.tap_step(), g_.height.taps());
    job.vertical_slot = std::min(g_.height.source_step(), plan_.slots);
    job.horizontal_tap = std::min(g_.width.tap_step(), g_.width.taps());
    job.horizontal_column = g_.width.source_step();
    job.packed_tile_stride = g_.width.phase_shift() * blocks_.lanes;
    return job;
  }

  template <typename R>
  void compute_tiles(PackedJob<R> job) const {
    const bool adjacent = g_.width.phase_shift() == 1;
    job.result_tile_stride = job.result_column_stride * g_.width.phase_stride();
    for (const ColumnBlock::Phase& phase : columns_->phases) {
      job.tiles = columns_->tiles.data() + phase.first_tile;
      job.tile_count = phase.tiles;
      kernels<R>().dwconv_packed[adjacent][phase.width - 1](job);
    }
  }

  void compute_band(int64_t y, int64_t band) {
    int64_t end = 0;
    for (int64_t r = 0; r < band; ++r) {
      const conv::TapRange taps = g_.height.at(y + r);
      rows_[r] = {taps, taps.source % plan_.slots};
      if (taps.count > 0) end = std::max(end, taps.source + 1);
    }
    // With dilation, later bands may need rows in between that this one does not.
    const int64_t begin = std::max(g_.height.lowest_source(y), packed_end_);
    pack_rows(begin, end, begin % plan_.slots, 0, g_.multiplier);
    packed_end_ = std::max(packed_end_, end);

    if (plan_.buffered) {
      PackedJob<Acc> job = make_job<Acc>(band, g_.multiplier);
      set_write_buffer(&job);
      compute_tiles(job);
      return;
    }
    PackedJob<T> job = make_job<T>(band, g_.multiplier);
    job.result = call_.result + image_ * call_.to.image + y * call_.to.row +
                 columns_->first * call_.to.column + channel_;
    job.result_block_stride = blocks_.lanes;
    job.result_last_block = last_;
    job.result_row_stride = call_.to.row;
    job.result_column_stride = call_.to.column;
    compute_tiles(job);
  }

  // One row of the result, from one row of the source after the other.
  void compute_row_wise(int64_t y) {
    PackedJob<Acc> job = make_job<Acc>(1, 1);
    set_write_buffer(&job);
    const conv::TapRange taps = g_.height.at(y);
    if (taps.count == 0) {
      rows_[0] = {};
      compute_tiles(job);
      return;
    }
    int64_t left = g_.multiplier * taps.count;
    for (int64_t m = 0; m < g_.multiplier; ++m) {
      for (int64_t i = 0; i < taps.count; ++i) {
        const int64_t tap = taps.tap + i * g_.height.tap_step();
        const int64_t out = taps.source - i * g_.height.source_step();
        rows_[0] = {{tap, out, 1}, 0};
        pack_rows(out, out + 1, 0, m, 1);
        job.epilogue = --left == 0 ? epilogue() : nullptr;
        compute_tiles(job);
        job.accumulate = true;
      }
      job.filter += filter_.multiplier_stride;
    }
  }

  void set_write_buffer(PackedJob<Acc>* job) const {
    job->result = write_buffer_;
    job->result_block_stride = 0;  // buffered chunks are one block
    job->result_last_block = 0;
    job->result_row_stride = plan_.write_buffer_row_stride;
    job->result_column_stride = blocks_.lanes;
  }

  void unpack_band(int64_t y, int64_t band) {
    const TensorStrides& to = call_.to;
    PackJob<T> job;
    job.lanes = lane_map(to.channel, to.image);
    // The lanes that another block has as well are left to that.
    const int64_t shared = std::max<int64_t>(0, -last_);
    job.lanes.channels -= shared;
    job.lanes.last_block = 0;
    job.tensor = call_.result + image_ * to.image + channel_ * to.channel + y * to.row +
                 columns_->first * to.column;
    job.packed = write_buffer_ + shared;
    job.multiplier = 1;
    job.rows = band;
    job.columns = columns_->count;
    job.multiplier_stride = 0;
    job.row_stride = to.row;
    job.column_stride = to.column;
    job.packed_block_stride = 0;
    job.packed_multiplier_stride = 0;
    job.packed_row_stride = plan_.write_buffer_row_stride;
    job.first_slot = 0;
    job.slots = band;
    kernels<T>().unpack(job);
  }

  const PackedCall<T>& call_;
  const conv::Gathering& g_;
  const PackedPlan& plan_;
  const ChannelBlocks& blocks_;
  const PackedFilter& filter_;
  Acc* const packed_;
  Acc* const write_buffer_;
  RowTaps* const rows_;

  // Of the item:
  const ColumnBlock* columns_ = nullptr;
  int64_t image_ = 0;
  int64_t images_ = 0;
  int64_t first_block_ = 0;
  int64_t channel_blocks_ = 0;
  int64_t channel_ = 0;
  int64_t last_ = 0;  // from the first block's channel to the last block's
  EpilogueJob<Acc> epilogue_{};

  int64_t packed_end_ = 0;  // rows of the source below this are packed, or were
};

}  // namespace tf_dwbp::cpu
