// Does the filter gradient's items: what one thread works with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "cc/cpu/filter_axis.h"
#include "cc/cpu/filter_columns.h"
#include "cc/cpu/filter_plan.h"
#include "cc/cpu/steps.h"
#include "cc/cpu/tables.h"

namespace tf_dwbp::cpu {

// A call, and what all of its items share.
template <typename T>
struct FilterCall {
  const conv::Geometry& geometry;
  const FilterPlan& plan;
  const T* input;
  const T* out_backprop;
  T* result;
  AccumulatorOf<T>* sums;  // of all parts
  Steps in;
  Steps out;
};

// Adds the sums of all parts, for some groups, and writes their part of the result.
template <typename T>
void finish_filter(const FilterCall<T>& call, int64_t first_group, int64_t groups) {
  const FilterPlan& plan = call.plan;
  const int64_t channels = call.geometry.out_channels();
  const int64_t first = first_group * plan.lanes;
  FilterFinishJob<T> job;
  job.sums = call.sums + first_group * plan.sum_group;
  job.parts = plan.parts;
  job.sum_part = plan.sums;
  job.groups = groups;
  job.sum_group = plan.sum_group;
  job.taps = call.geometry.height.filter * call.geometry.width.filter;
  job.result = call.result + first;
  job.channels = std::min(channels, plan.lanes);
  job.last = std::min((groups - 1) * plan.lanes, channels - job.channels - first);
  job.result_tap = channels;
  kernels<T>().filter_finish(job);
}

template <typename T>
class FilterWorker {
  using Acc = AccumulatorOf<T>;

 public:
  FilterWorker(const FilterCall<T>& call, Acc* scratch)
      : call_(call),
        g_(call.geometry),
        plan_(call.plan),
        channels_(std::min(g_.out_channels(), plan_.lanes)),
        image_sums_(scratch),
        out_window_(scratch + (plan_.few ? plan_.sums : 0)) {
    // Idle lanes are summed like the others; nobody looks at their sums.
    if (plan_.few) std::memset(scratch, 0, plan_.worker * sizeof(Acc));
  }

  void run(int64_t item) {
    const int64_t chunk = item % plan_.chunks;
    const int64_t part = item / plan_.chunks;
    first_group_ = plan_.begin(plan_.groups, plan_.chunks, chunk);
    groups_ = plan_.begin(plan_.groups, plan_.chunks, chunk + 1) - first_group_;
    channel_ = first_group_ * plan_.lanes;
    // The last group overlaps the one before if there are not channels enough.
    last_ = std::min((groups_ - 1) * plan_.lanes, g_.out_channels() - channels_ - channel_);
    source_window_ = out_window_ + groups_ * plan_.out_group;

    Acc* part_sums = call_.sums + part * plan_.sums + first_group_ * plan_.sum_group;
    const int64_t size = groups_ * plan_.sum_group;
    std::memset(part_sums, 0, size * sizeof(Acc));
    const Range range = plan_.part(part);
    if (plan_.few) {
      for (int64_t image = range.begin; image < range.end; image += plan_.images) {
        std::memset(image_sums_, 0, size * sizeof(Acc));
        images_ = std::min(plan_.images, range.end - image);
        sum(image, {0, plan_.rows}, image_sums_);
        const int64_t vectors = size / (2 * plan_.lanes);
        kernels<T>().filter_fold({image_sums_, part_sums, vectors, images_, channels_});
      }
    } else {
      images_ = 1;
      sum(0, range, part_sums);
    }
    if (plan_.parts == 1) finish_filter(call_, first_group_, groups_);
  }

 private:
  static constexpr int64_t kLine = 64;  // bytes

  // Of a line each, for each of so many steps.
  static int64_t lines(int64_t bytes, int64_t steps) {
    return (bytes + kLine * steps - 1) / (kLine * steps);
  }

  // An image's rows of the input that are in the window: those from `first` on, at `slot`.
  struct Segment {
    int64_t first;
    int64_t slot;
  };

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
    const conv::Axis& axis = g_.width;
    first_column_ = plan_.begin(axis.out, plan_.column_blocks, block);
    end_column_ = plan_.begin(axis.out, plan_.column_blocks, block + 1);
    source_columns_ = met(axis, first_column_, end_column_);
    const ColumnView view =
        plan_.mode == FilterPlan::Mode::kDirect
            ? ColumnView{0, call_.out.column, 0, call_.in.column}
            : ColumnView{first_column_, plan_.lanes, source_columns_.begin, plan_.lanes};
    columns_.clear();
    for (const TapSet& taps : plan_.horizontal) {
      columns_.push_back(plan_columns(axis, taps, first_column_, end_column_,
                                      kernel_table().filter_columns, view));
    }
  }

  void sum_band(int64_t begin, int64_t end) {
    band_ = begin;
    switch (plan_.mode) {
      case FilterPlan::Mode::kDirect:
        return sum_visit(begin, end, call_.out_backprop + channel_, call_.input + channel_);
      case FilterPlan::Mode::kWindows:
        load_out(begin, end);
        load_source(begin, end);
        return plan_.for_bands({begin, end}, plan_.visit_rows, [this](int64_t from, int64_t to) {
          sum_visit<Acc>(from, to, out_window_, source_window_);
        });
      case FilterPlan::Mode::kTapwise:
        load_out(begin, end);
        return sum_tapwise(begin, end);
    }
  }

  // E is T, or in windows Acc.
  template <typename E>
  void sum_visit(int64_t begin, int64_t end, const E* out, const E* source) {
    rows_.resize((end - begin) * plan_.vertical.size());
    FilterRow* row = rows_.data();
    row_counts_.clear();
    for (const TapSet& taps : plan_.vertical) {
      FilterRow* const first = row;
      for (int64_t y = begin; y < end; ++y) {
        *row = find_row(y, taps);
        if (row->inside != 0) ++row;
      }
      row_counts_.push_back(row - first);
    }
    FilterSumJob<E> job{};
    job.sum_row = plan_.sum_row;
    Lines next = next_lines(begin, end);
    for (int64_t group = 0; group < groups_; ++group) {
      const bool windows = plan_.mode == FilterPlan::Mode::kWindows;
      const int64_t channel = group + 1 < groups_ ? group * plan_.lanes : last_;
      job.out = out + (windows ? group * plan_.out_group : channel);
      job.source = source + (windows ? group * plan_.source_group : channel);
      job.rows = rows_.data();
      for (size_t v = 0; v < plan_.vertical.size(); ++v, job.rows += job.row_count) {
        job.row_count = row_counts_[v];
        job.sum_rows = plan_.vertical[v].count;
        for (size_t h = 0; h < plan_.horizontal.size(); ++h) {
          job.sums = sums_ + group * plan_.sum_group + plan_.vertical[v].first * plan_.sum_row +
                     plan_.horizontal[h].first * 2 * plan_.lanes;
          const bool asks = v == 0 && h == 0;
          job.next_out = next.out;
          job.next_source = next.source;
          job.out_lines = asks ? next.out_lines : 0;
          job.source_lines = asks ? next.source_lines : 0;
          sum_columns(columns_[h], plan_.horizontal[h], &job);
          if (!asks) continue;
          const int64_t tiles = job.row_count * static_cast<int64_t>(columns_[h].tiles.size());
          next.out += tiles * next.out_lines * kLine;
          next.source += tiles * next.source_lines * kLine;
        }
      }
    }
  }

  // What the visit after [begin, end) will read, for this one to ask for.
  struct Lines {
    const char* out = nullptr;
    const char* source = nullptr;
    int64_t out_lines = 0;
    int64_t source_lines = 0;
  };
  Lines next_lines(int64_t begin, int64_t end) const {
    Lines next;
    if (!plan_.asks || row_counts_[0] == 0 || columns_[0].tiles.empty()) return next;
    const conv::Axis& axis = g_.height;
    const int64_t steps = groups_ * row_counts_[0] * columns_[0].tiles.size();
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
  void sum_columns(const ColumnPlan& columns, TapSet taps, FilterSumJob<E>* job) const {
    if (job->row_count == 0 || columns.tiles.empty()) return;
    const int64_t shift = g_.width.stride / std::gcd(g_.width.stride, g_.width.dilation);
    job->tiles = columns.tiles.data();
    job->tile_count = columns.tiles.size();
    job->out_column = columns.out_column;
    job->source_column = columns.source_column;
    kernels<E>().filter_sum[taps.count == 1 ? 0 : shift - 1][taps.count - 1](*job);
  }

  // A row of out_backprop with the rows of the input that it meets through a set of taps.
  FilterRow find_row(int64_t y, TapSet taps) const {
    const conv::Axis& axis = g_.height;
    const int64_t image = y / axis.out;
    FilterRow row;
    row.out =
        plan_.mode == FilterPlan::Mode::kDirect ? y * call_.out.row : (y - band_) * plan_.out_row;
    row.inside = 0;
    for (int64_t r = 0; r < taps.count; ++r) {
      const int64_t source =
          y % axis.out * axis.stride + (taps.first + r) * axis.dilation - axis.pad_before;
      if (source < 0 || source >= axis.in) continue;
      row.inside |= uint32_t{1} << r;
      if (plan_.mode == FilterPlan::Mode::kDirect) {
        row.source[r] = image * call_.in.image + source * call_.in.row;
      } else {
        const Segment& segment = segments_[image - band_ / axis.out];
        row.source[r] = (segment.slot + source - segment.first) * plan_.source_row;
      }
    }
    return row;
  }

  void load_out(int64_t begin, int64_t end) {
    CopyJob<const T> job = copy_job(out_window_, plan_.out_row, plan_.out_group);
    job.lanes.channel_step = call_.out.channel;
    job.lanes.image_step = call_.out.image;
    job.columns = end_column_ - first_column_;
    job.row_step = call_.out.row;
    job.column_step = call_.out.column;
    for_images(g_.height.out, begin, end, [&](int64_t image, int64_t first, int64_t last) {
      job.tensor = call_.out_backprop + (image_ + image) * call_.out.image +
                   channel_ * call_.out.channel + first * call_.out.row +
                   first_column_ * call_.out.column;
      load_rows(last - first, &job);
    });
  }

  void load_source(int64_t begin, int64_t end) {
    segments_.clear();
    int64_t slot = 0;
    CopyJob<const T> job = source_job();
    job.columns = source_columns_.size();
    job.row_step = call_.in.row;
    job.column_step = call_.in.column;
    for_images(g_.height.out, begin, end, [&](int64_t image, int64_t first, int64_t last) {
      const Range rows = met(g_.height, first, last);
      segments_.push_back({rows.begin, slot});
      if (rows.size() == 0 || job.columns == 0) return;
      job.tensor = source_tensor(image) + rows.begin * call_.in.row +
                   source_columns_.begin * call_.in.column;
      load_rows(rows.size(), &job);
      slot += rows.size();
    });
  }

  // One tap after the other, with windows on nothing but the positions that it links.
  void sum_tapwise(int64_t begin, int64_t end) {
    const conv::Axis &height = g_.height, &width = g_.width;
    FilterSumJob<Acc> sum{};
    sum.sum_row = plan_.sum_row;
    sum.sum_rows = 1;
    CopyJob<const T> job = source_job();
    job.row_step = height.out == 1 ? 0 : height.stride * call_.in.row;
    job.column_step = width.out == 1 ? 1 : width.stride * call_.in.column;
    for (int64_t kx = 0; kx < width.filter; ++kx) {
      const Range x = linked(width, kx, first_column_, end_column_);
      if (x.size() == 0) continue;
      const int64_t column = x.begin * width.stride + kx * width.dilation - width.pad_before;
      const int64_t wide = kernel_table().filter_columns;
      job.columns = x.size();
      ColumnPlan columns{plan_.lanes, plan_.lanes, {}};
      for (int64_t i = 0; i < job.columns; i += columns.tiles.back().wide ? wide : 1) {
        const bool is_wide = i + wide <= job.columns;
        const uint32_t all = is_wide ? (uint32_t{1} << wide) - 1 : 1;
        columns.tiles.push_back(
            {(x.begin - first_column_ + i) * plan_.lanes, i * plan_.lanes, all, is_wide});
      }
      for (int64_t ky = 0; ky < height.filter; ++ky) {
        rows_.clear();
        job.window = source_window_;
        for_images(height.out, begin, end, [&](int64_t image, int64_t first, int64_t last) {
          const Range y = linked(height, ky, first, last);
          if (y.size() == 0) return;
          const int64_t row = y.begin * height.stride + ky * height.dilation - height.pad_before;
          job.tensor = source_tensor(image) + row * call_.in.row + column * call_.in.column;
          for (int64_t i = y.begin; i < y.end; ++i) {
            const int64_t out = image * height.out + i - begin;
            rows_.push_back(
                {out * plan_.out_row, {static_cast<int64_t>(rows_.size()) * plan_.source_row}, 1});
          }
          load_rows(y.size(), &job);
        });
        sum.rows = rows_.data();
        sum.row_count = rows_.size();
        for (int64_t group = 0; group < groups_; ++group) {
          sum.out = out_window_ + group * plan_.out_group;
          sum.source = source_window_ + group * plan_.source_group;
          sum.sums = sums_ + group * plan_.sum_group + ky * plan_.sum_row + kx * 2 * plan_.lanes;
          sum_columns(columns, {kx, 1}, &sum);
        }
      }
    }
  }

  CopyJob<const T> copy_job(Acc* window, int64_t window_row, int64_t window_group) const {
    CopyJob<const T> job{};
    job.window = window;
    job.lanes = {groups_, last_, images_, 0, channels_, 0};
    job.multiplier = 1;
    job.window_row = window_row;
    job.window_group = window_group;
    return job;
  }

  CopyJob<const T> source_job() const {
    CopyJob<const T> job = copy_job(source_window_, plan_.source_row, plan_.source_group);
    job.lanes.channel_step = call_.in.channel;
    job.lanes.image_step = call_.in.image;
    job.lanes.repeat = g_.multiplier;
    job.lanes.phase = channel_ % g_.multiplier;
    return job;
  }

  const T* source_tensor(int64_t image) const {
    return call_.input + (image_ + image) * call_.in.image +
           channel_ / g_.multiplier * call_.in.channel;
  }

  void load_rows(int64_t rows, CopyJob<const T>* job) const {
    job->rows = job->slots = rows;
    kernels<T>().load(*job);
    job->window += rows * job->window_row;
  }

  const FilterCall<T>& call_;
  const conv::Geometry& g_;
  const FilterPlan& plan_;
  const int64_t channels_;  // of an image that a group has
  Acc* const image_sums_;
  Acc* const out_window_;
  Acc* source_window_ = nullptr;

  int64_t column_block_ = -1;
  int64_t first_column_ = 0;  // of out_backprop ...
  int64_t end_column_ = 0;
  Range source_columns_{};           // ... and of the input
  std::vector<ColumnPlan> columns_;  // for each horizontal set

  int64_t first_group_ = 0;
  int64_t groups_ = 0;
  int64_t channel_ = 0;
  int64_t last_ = 0;  // from the first group's channel to the last group's
  int64_t image_ = 0;
  int64_t images_ = 0;
  Acc* sums_ = nullptr;

  int64_t band_ = 0;  // the first row of out_backprop in the window
  std::vector<Segment> segments_;
  std::vector<FilterRow> rows_;  // for each vertical set
  std::vector<int64_t> row_counts_;
};

}  // namespace tf_dwbp::cpu
