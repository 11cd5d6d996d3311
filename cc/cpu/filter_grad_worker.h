// Does the filter gradient's items: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cc/cpu/filter_grad_axis.h"
#include "cc/cpu/filter_grad_call.h"
#include "cc/cpu/filter_grad_columns.h"
#include "cc/cpu/filter_grad_plan.h"
#include "cc/cpu/runtime/dispatch.h"

namespace tf_dwbp::cpu {

template <typename T>
class FilterGradWorker {
  using Acc = AccumulatorOf<T>;

 public:
  FilterGradWorker(const FilterGradCall<T>& call, const FilterGradScratch<T>& scratch,
                   void* workspace)
      : call_(call),
        g_(call.geometry),
        plan_(call.plan),
        channels_(std::min(g_.out_channels(), plan_.lanes)),
        image_sums_(scratch.image_sums.in(workspace)),
        packed_out_(scratch.packed_out.in(workspace)),
        packed_source_(scratch.packed_source.in(workspace)),
        tiles_(scratch.tiles.in(workspace)),
        columns_(scratch.columns.in(workspace)),
        rows_(scratch.rows.in(workspace)),
        row_counts_(scratch.row_counts.in(workspace)),
        segments_(scratch.segments.in(workspace)) {
    // Idle lanes are summed like the others; nobody looks at their sums.
    if (!plan_.few_channels) return;
    std::memset(packed_out_, 0, scratch.packed_out.count * sizeof(Acc));
    std::memset(packed_source_, 0, scratch.packed_source.count * sizeof(Acc));
  }

  void run(int64_t item) {
    const int64_t chunk = item % plan_.chunks;
    const int64_t part = item / plan_.chunks;
    first_block_ = conv::begin_of_part(plan_.channel_blocks, plan_.chunks, chunk);
    channel_blocks_ =
        conv::begin_of_part(plan_.channel_blocks, plan_.chunks, chunk + 1) - first_block_;
    channel_ = first_block_ * plan_.lanes;
    // The last block overlaps the one before if there are not channels enough.
    last_ = std::min((channel_blocks_ - 1) * plan_.lanes, g_.out_channels() - channels_ - channel_);

    Acc* part_sums = call_.sums + part * plan_.sums + first_block_ * plan_.sum_block_stride;
    const int64_t size = channel_blocks_ * plan_.sum_block_stride;
    std::memset(part_sums, 0, size * sizeof(Acc));
    const Range range = plan_.part(part);
    if (plan_.few_channels) {
      for (int64_t image = range.begin; image < range.end; image += plan_.images) {
        std::memset(image_sums_, 0, size * sizeof(Acc));
        images_ = std::min(plan_.images, range.end - image);
        sum(image, {0, plan_.rows}, image_sums_);
        const int64_t vectors = size / (2 * plan_.lanes);
        kernels<Acc>().reduce_images({image_sums_, part_sums, vectors, images_, channels_});
      }
    } else {
      images_ = 1;
      sum(0, range, part_sums);
    }
    if (plan_.parts == 1) reduce_filter_parts(call_, first_block_, channel_blocks_);
  }

 private:
  static constexpr int64_t kLine = 64;  // bytes

  // Of a line each, for each of so many steps.
  static int64_t lines(int64_t bytes, int64_t steps) {
    return (bytes + kLine * steps - 1) / (kLine * steps);
  }

  // Rows of out_backprop, those of all images counted through from image `image` on.
  void sum(int64_t image, Range rows, Acc* sums) {
    image_ = image;
    sums_ = sums;
    for (int64_t block = 0; block < plan_.column_blocks; ++block) {
      set_columns(block);
      plan_.for_bands(rows, plan_.band_rows,
                      [this](int64_t begin, int64_t end) { sum_band(begin, end); });
    }
  }

  void set_columns(int64_t block) {
    if (block == column_block_) return;
    column_block_ = block;
    out_columns_ = plan_.columns(block, g_.width);
    source_columns_ = met(g_.width, out_columns_.begin, out_columns_.end);
    if (plan_.mode == FilterGradPlan::Mode::kTapwise) return;
    const ColumnView view =
        plan_.mode == FilterGradPlan::Mode::kDirect
            ? ColumnView{0, call_.out.column, 0, call_.in.column}
            : ColumnView{out_columns_.begin, plan_.lanes, source_columns_.begin, plan_.lanes};
    for (size_t h = 0; h < plan_.horizontal.size(); ++h) {
      columns_[h] =
          make_column_tiles(g_.width, plan_.horizontal[h], out_columns_,
                            dispatch().filter_grad_columns, view, tiles_ + h * plan_.block_columns);
    }
  }

  void sum_band(int64_t begin, int64_t end) {
    band_ = begin;
    switch (plan_.mode) {
      case FilterGradPlan::Mode::kDirect:
        return sum_visit(begin, end, call_.out_backprop + channel_, call_.input + channel_);
      case FilterGradPlan::Mode::kPacked:
        pack_out(begin, end);
        pack_source(begin, end);
        return plan_.for_bands({begin, end}, plan_.visit_rows, [this](int64_t from, int64_t to) {
          sum_visit<Acc>(from, to, packed_out_, packed_source_);
        });
      case FilterGradPlan::Mode::kTapwise:
        pack_out(begin, end);
        return sum_tapwise(begin, end);
    }
  }

  // E is T, or of packed tiles Acc.
  template <typename E>
  void sum_visit(int64_t begin, int64_t end, const E* out, const E* source) {
    FilterGradRow* row = rows_;
    for (size_t v = 0; v < plan_.vertical.size(); ++v) {
      FilterGradRow* const first = row;
      for (int64_t y = begin; y < end; ++y) {
        const FilterGradRow found = find_row(y, plan_.vertical[v]);
        if (found.inside != 0) *row++ = found;
      }
      row_counts_[v] = row - first;
    }
    FilterGradJob<E> job{};
    job.sum_row_stride = plan_.sum_row_stride;
    Lines next = next_lines(begin, end);
    for (int64_t channel_block = 0; channel_block < channel_blocks_; ++channel_block) {
      const bool packed = plan_.mode == FilterGradPlan::Mode::kPacked;
      const int64_t channel =
          channel_block + 1 < channel_blocks_ ? channel_block * plan_.lanes : last_;
      job.out = out + (packed ? channel_block * plan_.out_block_stride : channel);
      job.source = source + (packed ? channel_block * plan_.source_block_stride : channel);
      job.rows = rows_;
      for (size_t v = 0; v < plan_.vertical.size(); ++v, job.rows += job.row_count) {
        job.row_count = row_counts_[v];
        job.sum_rows = plan_.vertical[v].count;
        for (size_t h = 0; h < plan_.horizontal.size(); ++h) {
          job.sums = sums_ + channel_block * plan_.sum_block_stride +
                     plan_.vertical[v].first * plan_.sum_row_stride +
                     plan_.horizontal[h].first * 2 * plan_.lanes;
          const bool prefetches = v == 0 && h == 0;
          job.next_out = next.out;
          job.next_source = next.source;
          job.out_lines = prefetches ? next.out_lines : 0;
          job.source_lines = prefetches ? next.source_lines : 0;
          sum_columns(columns_[h], plan_.horizontal[h], &job);
          if (!prefetches) continue;
          const int64_t tiles = job.row_count * columns_[h].count;
          next.out += tiles * next.out_lines * kLine;
          next.source += tiles * next.source_lines * kLine;
        }
      }
    }
  }

  // What the visit after [begin, end) will read, for this one to prefetch.
  struct Lines {
    const char* out = nullptr;
    const char* source = nullptr;
    int64_t out_lines = 0;
    int64_t source_lines = 0;
  };
  Lines next_lines(int64_t begin, int64_t end) const {
    Lines next;
    if (!plan_.prefetches || row_counts_[0] == 0 || columns_[0].count == 0) return next;
    const conv::Axis& axis = g_.height;
    const int64_t steps = channel_blocks_ * row_counts_[0] * columns_[0].count;
    const int64_t out_bytes = (end - begin) * call_.out.row * sizeof(T);
    const int64_t rows = std::min((end - begin) * axis.stride, axis.in);
    next.out = reinterpret_cast<const char*>(call_.out_backprop + end * call_.out.row);
    next.out_lines = lines(out_bytes, steps);
    // The rows that follow the last that this visit reads.
    const int64_t image = end / axis.out;
    const int64_t row = end % axis.out * axis.stride + (axis.filter - 1) * axis.dilation -
                        axis.pad_before - (axis.stride - 1);
    next.source =
        reinterpret_cast<const char*>(call_.input + image * call_.in.image + row * call_.in.row);
    next.source_lines = lines(rows * call_.in.row * int64_t{sizeof(T)}, steps);
    return next;
  }

  template <typename E>
  void sum_columns(const ColumnTiles& columns, TapSet taps, FilterGradJob<E>* job) const {
    if (job->row_count == 0 || columns.count == 0) return;
    const int64_t shift = taps.count == 1 ? 1 : g_.width.reduced_stride();
    job->tiles = columns.tiles;
    job->tile_count = columns.count;
    job->out_column_stride = columns.out_column_stride;
    job->source_column_stride = columns.source_column_stride;
    kernels<E>().dwconv_filter_grad[shift - 1][taps.count - 1](*job);
  }

  // A row of out_backprop with the rows of the input that it meets through a set of taps.
  FilterGradRow find_row(int64_t y, TapSet taps) const {
    const conv::Axis& axis = g_.height;
    const int64_t image = y / axis.out;
    FilterGradRow row;
    row.out = plan_.mode == FilterGradPlan::Mode::kDirect ? y * call_.out.row
                                                          : (y - band_) * plan_.out_row_stride;
    row.inside = 0;
    for (int64_t r = 0; r < taps.count; ++r) {
      const int64_t source =
          y % axis.out * axis.stride + (taps.first + r) * axis.dilation - axis.pad_before;
      if (source < 0 || source >= axis.in) continue;
      row.inside |= uint32_t{1} << r;
      if (plan_.mode == FilterGradPlan::Mode::kDirect) {
        row.source[r] = image * call_.in.image + source * call_.in.row;
      } else {
        const FilterGradSegment& segment = segments_[image - band_ / axis.out];
        row.source[r] = (segment.slot + source - segment.first) * plan_.source_row_stride;
      }
    }
    return row;
  }

  void pack_out(int64_t begin, int64_t end) {
    PackJob<const T> job = pack_job(packed_out_, plan_.out_row_stride, plan_.out_block_stride);
    job.lanes.channel_stride = call_.out.channel;
    job.lanes.image_stride = call_.out.image;
    job.columns = out_columns_.size();
    job.row_stride = call_.out.row;
    job.column_stride = call_.out.column;
    for_images(g_.height.out, begin, end, [&](int64_t image, int64_t first, int64_t last) {
      job.tensor = call_.out_backprop + (image_ + image) * call_.out.image +
                   channel_ * call_.out.channel + first * call_.out.row +
                   out_columns_.begin * call_.out.column;
      pack_rows(last - first, &job);
    });
  }

  void pack_source(int64_t begin, int64_t end) {
    FilterGradSegment* segment = segments_;
    int64_t slot = 0;
    PackJob<const T> job = source_job();
    job.columns = source_columns_.size();
    job.row_stride = call_.in.row;
    job.column_stride = call_.in.column;
    for_images(g_.height.out, begin, end, [&](int64_t image, int64_t first, int64_t last) {
      const Range rows = met(g_.height, first, last);
      *segment++ = {rows.begin, slot};
      if (rows.size() == 0 || job.columns == 0) return;
      job.tensor = source_tensor(image) + rows.begin * call_.in.row +
                   source_columns_.begin * call_.in.column;
      pack_rows(rows.size(), &job);
      slot += rows.size();
    });
  }

  // One tap after the other, with packed tiles of nothing but the positions that it links.
  void sum_tapwise(int64_t begin, int64_t end) {
    const conv::Axis &height = g_.height, &width = g_.width;
    FilterGradJob<Acc> sum{};
    sum.sum_row_stride = plan_.sum_row_stride;
    sum.sum_rows = 1;
    PackJob<const T> job = source_job();
    job.row_stride = height.out == 1 ? 0 : height.stride * call_.in.row;
    job.column_stride = width.out == 1 ? 1 : width.stride * call_.in.column;
    for (int64_t kx = 0; kx < width.filter; ++kx) {
      const Range x = linked(width, kx, out_columns_.begin, out_columns_.end);
      if (x.size() == 0) continue;
      const int64_t column = x.begin * width.stride + kx * width.dilation - width.pad_before;
      const int64_t wide = dispatch().filter_grad_columns;
      job.columns = x.size();
      ColumnTiles columns{plan_.lanes, plan_.lanes, tiles_, 0};
      for (int64_t i = 0; i < job.columns;) {
        const bool is_wide = i + wide <= job.columns;
        const uint32_t all = is_wide ? (uint32_t{1} << wide) - 1 : 1;
        tiles_[columns.count++] = {(x.begin - out_columns_.begin + i) * plan_.lanes,
                                   i * plan_.lanes, all, is_wide};
        i += is_wide ? wide : 1;
      }
      for (int64_t ky = 0; ky < height.filter; ++ky) {
        FilterGradRow* row_end = rows_;
        job.packed = packed_source_;
        for_images(height.out, begin, end, [&](int64_t image, int64_t first, int64_t last) {
          const Range y = linked(height, ky, first, last);
          if (y.size() == 0) return;
          const int64_t row = y.begin * height.stride + ky * height.dilation - height.pad_before;
          job.tensor = source_tensor(image) + row * call_.in.row + column * call_.in.column;
          for (int64_t i = y.begin; i < y.end; ++i) {
            const int64_t out = image * height.out + i - begin;
            *row_end = {
                out * plan_.out_row_stride, {(row_end - rows_) * plan_.source_row_stride}, 1};
            ++row_end;
          }
          pack_rows(y.size(), &job);
        });
        sum.rows = rows_;
        sum.row_count = row_end - rows_;
        for (int64_t channel_block = 0; channel_block < channel_blocks_; ++channel_block) {
          sum.out = packed_out_ + channel_block * plan_.out_block_stride;
          sum.source = packed_source_ + channel_block * plan_.source_block_stride;
          sum.sums = sums_ + channel_block * plan_.sum_block_stride + ky * plan_.sum_row_stride +
                     kx * 2 * plan_.lanes;
          sum_columns(columns, {kx, 1}, &sum);
        }
      }
    }
  }

  PackJob<const T> pack_job(Acc* packed, int64_t packed_row_stride,
                            int64_t packed_block_stride) const {
    PackJob<const T> job{};
    job.packed = packed;
    job.lanes = {channel_blocks_, last_, images_, 0, channels_, 0};
    job.multiplier = 1;
    job.packed_row_stride = packed_row_stride;
    job.packed_block_stride = packed_block_stride;
    return job;
  }

  PackJob<const T> source_job() const {
    PackJob<const T> job =
        pack_job(packed_source_, plan_.source_row_stride, plan_.source_block_stride);
    job.lanes.channel_stride = call_.in.channel;
    job.lanes.image_stride = call_.in.image;
    job.lanes.repeat = g_.multiplier;
    job.lanes.skipped_repeats = channel_ % g_.multiplier;
    return job;
  }

  const T* source_tensor(int64_t image) const {
    return call_.input + (image_ + image) * call_.in.image +
           channel_ / g_.multiplier * call_.in.channel;
  }

  void pack_rows(int64_t rows, PackJob<const T>* job) const {
    job->rows = job->slots = rows;
    kernels<T>().pack(*job);
    job->packed += rows * job->packed_row_stride;
  }

  const FilterGradCall<T>& call_;
  const conv::Geometry& g_;
  const FilterGradPlan& plan_;
  const int64_t channels_;  // of an image that a block has
  Acc* const image_sums_;
  Acc* const packed_out_;
  Acc* const packed_source_;
  FilterGradTile* const tiles_;
  ColumnTiles* const columns_;
  FilterGradRow* const rows_;
  int64_t* const row_counts_;
  FilterGradSegment* const segments_;

  int64_t column_block_ = -1;
  Range out_columns_{};     // of out_backprop ...
  Range source_columns_{};  // ... and of the input

  int64_t first_block_ = 0;
  int64_t channel_blocks_ = 0;
  int64_t channel_ = 0;
  int64_t last_ = 0;  // from the first block's channel to the last block's
  int64_t image_ = 0;
  int64_t images_ = 0;
  Acc* sums_ = nullptr;

  int64_t band_ = 0;  // the first row of out_backprop that is packed
};

}  // namespace tf_dwbp::cpu
