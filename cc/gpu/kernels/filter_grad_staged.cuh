// The filter gradient for staged windows: see staged.cuh and filter_grad.cuh. A thread has the sums
// of a task, some taps of a column of the filter, in registers while it goes down columns of
// out_backprop; between tiles they are in shared memory.
#pragma once

#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/kernels/staged.cuh"
#include "cc/gpu/kernels/sum.cuh"

namespace tf_dwbp::gpu {

template <typename T>
struct StagedFilterGradArguments : StagedFilterGrad {
  const T* input;
  const T* out;
  AccumulatorOf<T>* partial;  // [parts, taps, channels of out_backprop]
};

// The taps of a task: of column tx the rows first, first + RunAxis::tap_step, ..., some of which
// may be beyond the filter's last.
struct StagedTask {
  int tx;
  int first;

  __device__ StagedTask(const StagedSumsCut& cut, int classes, int64_t task) {
    const Divided by_column = divide(task, cut.tasks_of_column);
    tx = static_cast<int>(by_column.quotient);
    const int of_column = static_cast<int>(by_column.remainder), group = of_column / classes;
    first = of_column - group * classes + group * kTapsOfTask * classes;
  }
};

// What a part's sum for a tap is when nothing takes part that lies outside.
template <typename T>
__device__ TF_DWBP_NOINLINE AccumulatorOf<T> staged_part_again(
    const StagedFilterGradArguments<T>& g, int64_t part, int64_t ty, int64_t tx, int64_t channel) {
  TF_DWBP_COUNT("part again");
  const conv::Geometry& call = g.geometry;
  const conv::Axis &height = call.height, &width = call.width;
  const bool nhwc = call.layout == conv::Layout::kNHWC;
  const int64_t channels = call.channels, out_channels = call.out_channels();
  const int64_t own = channel / call.multiplier;
  AccumulatorOf<T> sum = 0;
  const int64_t first = part * g.cut.tiles_of_part;
#pragma unroll 1
  for (int64_t i = first; i < first + g.cut.tiles_of_part && i < g.cut.tiles; ++i) {
    const StagedPlace at(g.cut.tile, i, height.out, width.out);
#pragma unroll 1
    for (int64_t oy = at.first_row; oy < at.first_row + at.rows; ++oy) {
      const int64_t iy = oy * height.stride + ty * height.dilation - height.pad_before;
      if (iy < 0 || iy >= height.in) continue;
#pragma unroll 1
      for (int64_t ox = at.first_column; ox < at.first_column + at.columns; ++ox) {
        const int64_t ix = ox * width.stride + tx * width.dilation - width.pad_before;
        if (ix < 0 || ix >= width.in) continue;
        const int64_t in = nhwc ? ((at.outer * height.in + iy) * width.in + ix) * channels + own
                                : ((at.outer * channels + own) * height.in + iy) * width.in + ix;
        const int64_t out =
            nhwc ? ((at.outer * height.out + oy) * width.out + ox) * out_channels + channel
                 : ((at.outer * out_channels + channel) * height.out + oy) * width.out + ox;
        sum += widen(g.input[in]) * widen(g.out[out]);
      }
    }
  }
  return sum;
}

// For each tap and channel of out_backprop, over the positions (oy, ox) of a part's tiles:
//   sum += input[oy * stride + ty * dilation - pad, ...] * out_backprop[oy, ox]
template <typename T, conv::Layout layout>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    filter_grad_staged(const __grid_constant__ StagedFilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  const conv::Geometry& call = g.geometry;
  const StagedSumsCut& cut = g.cut;
  const StagedTile& tile = cut.tile;
  constexpr bool nhwc = layout == conv::Layout::kNHWC;
  const bool whole = tile.whole;
  const int64_t out_channels = call.out_channels();
  const int multiplier = static_cast<int>(call.multiplier);
  const int in_height = static_cast<int>(call.height.in),
            in_width = static_cast<int>(call.width.in);
  const int out_height = static_cast<int>(call.height.out);
  const int filter_height = static_cast<int>(call.height.filter);
  const int filter_width = static_cast<int>(call.width.filter);
  const int64_t taps = int64_t{filter_height} * filter_width;
  const int64_t all_tasks = int64_t{filter_width} * cut.tasks_of_column;
  auto* const sums_of_threads =
      reinterpret_cast<CompensatedSum<Sum>*>(shared_memory() + cut.sums_offset);
  const int group = threadIdx.x / cut.lanes, lane = threadIdx.x - group * cut.lanes;
  const int groups = blockDim.x / cut.lanes;
  // Items: [planes of NCHW, tasks, splits], each of some taps and all lanes.
  const int planes = nhwc ? 1 : tile.results;
  const int of_item = kTapsOfTask * cut.lanes;

  for (int64_t block = blockIdx.x; block < cut.blocks(); block += gridDim.x) {
    const Divided by_channels = divide(block, tile.channel_blocks);
    const Divided by_tasks = divide(by_channels.quotient, cut.task_blocks);
    const int64_t part = by_tasks.quotient, first_task = by_tasks.remainder * cut.tasks;
    const int tasks =
        static_cast<int>(all_tasks - first_task < cut.tasks ? all_tasks - first_task : cut.tasks);
    const int64_t first_input = by_channels.remainder * tile.sources;
    const int64_t first_out = by_channels.remainder * tile.results;
    const int64_t left = out_channels - first_out;
    const int items = planes * tasks * cut.splits;
    // The block before this one may still add up its sums.
    if (block != blockIdx.x) __syncthreads();
    for (int i = threadIdx.x; i < items * of_item; i += blockDim.x) {
      store_shared(&sums_of_threads[i], CompensatedSum<Sum>());
    }
    const int64_t first = part * cut.tiles_of_part;
    for (int64_t i = first; i < first + cut.tiles_of_part && i < cut.tiles; ++i) {
      const StagedPlace at(tile, i, call.height.out, call.width.out);
      // The tile before this one has been read.
      if (i > first) __syncthreads();
      Staged<T> input, out;
      input.shared = reinterpret_cast<T*>(shared_memory());
      out.shared = reinterpret_cast<T*>(shared_memory() + cut.result_offset);
      input.rows = whole ? Stretch{0, in_height}
                         : Stretch::of(g.height, at.first_row, at.first_row + at.rows);
      input.columns = nhwc ? Stretch::of(g.width, at.first_column, at.first_column + at.columns)
                           : Stretch{0, in_width};
      out.rows = {static_cast<int>(at.first_row), at.rows};
      out.columns = {static_cast<int>(at.first_column), at.columns};
      input.channels = tile.sources;
      out.channels = tile.results;
      const int64_t first_plane = at.outer * call.channels + first_input;
      const int64_t first_out_plane = at.outer * out_channels + first_out;
      if (nhwc) {
        input.nhwc(g.input + at.outer * in_height * in_width * call.channels + first_input,
                   in_width, call.channels, call.channels - first_input);
        out.nhwc(g.out + at.outer * out_height * call.width.out * out_channels + first_out,
                 call.width.out, out_channels, left);
      } else {
        if (left < tile.results) {
          out.channels = static_cast<int>(left);
          input.channels = out.channels / multiplier;
        }
        input.nchw(g.input, call.batch * call.channels, first_plane, in_height, whole);
        out.nchw(g.out, call.batch * out_channels, first_out_plane, out_height, whole);
      }
      wait_for_copies();
      __syncthreads();

#pragma unroll 1
      for (int n = group; n < items && group < groups; n += groups) {
        const int task_of_plane = n / cut.splits, split = n - task_of_plane * cut.splits;
        const int plane = task_of_plane / tasks;
        const StagedTask task(cut, g.down.classes, first_task + task_of_plane - plane * tasks);
        if (task.first >= filter_height || plane >= left) continue;
        const T* const from =
            nhwc ? input.channel(lane / multiplier)
                 : input.plane(plane / multiplier, g.input, first_plane, in_height, whole);
        const T* const with =
            nhwc ? out.channel(lane) : out.plane(plane, g.out, first_out_plane, out_height, whole);
        const int row0 =
            static_cast<int>(at.first_row * call.height.stride + task.first * call.height.dilation -
                             call.height.pad_before - input.rows.first);
        const int column0 =
            static_cast<int>(at.first_column * call.width.stride + task.tx * call.width.dilation -
                             call.width.pad_before - input.columns.first);
        Sum sums[kTapsOfTask] = {};
        const int step = nhwc ? cut.splits : cut.splits * cut.lanes;
#pragma unroll 1
        for (int x = nhwc ? split : split * cut.lanes + lane; x < at.columns; x += step) {
          const int column = column0 + x * static_cast<int>(call.width.stride);
          if (!inside(column, input.columns.count)) continue;
          const T* const met = from + column * input.column_stride;
          const T* const factors = with + x * out.column_stride;
          const auto load = [&](int row) {
            return inside(row, input.rows.count) ? widen(load_shared(met + row * input.row_stride))
                                                 : Sum{0};
          };
#pragma unroll 1
          for (int phase = 0; phase < g.down.phases(at.rows); ++phase) {
            int row = row0 + phase * static_cast<int>(call.height.stride);
            // What tap k of the task meets is at k, of as many as there are, in turn.
            Sum window[kTapsOfTask];
#pragma unroll
            for (int k = 0; k + 1 < kTapsOfTask; ++k, row += g.down.source_step) {
              window[k] = load(row);
            }
#pragma unroll 1
            for (int y = phase; y < at.rows;) {
#pragma unroll
              for (int turn = 0; turn < kTapsOfTask; ++turn) {
                if (y >= at.rows) break;
                window[(turn + kTapsOfTask - 1) % kTapsOfTask] = load(row);
                const Sum factor = widen(load_shared(factors + y * out.row_stride));
#pragma unroll
                for (int k = 0; k < kTapsOfTask; ++k) {
                  sums[k] += factor * window[(turn + k) % kTapsOfTask];
                }
                row += g.down.source_step;
                y += g.down.run_step;
              }
            }
          }
        }
#pragma unroll
        for (int k = 0; k < kTapsOfTask; ++k) {
          auto* const kept = &sums_of_threads[n * of_item + k * cut.lanes + lane];
          CompensatedSum<Sum> sum = load_shared(kept);
          sum.add(sums[k]);
          store_shared(kept, sum);
        }
      }
    }

    // A sum is its splits'; in NCHW also its lanes'.
    __syncthreads();
    const int lanes = nhwc ? cut.lanes : 1, added = cut.lanes / lanes;
#pragma unroll 1
    for (int i = threadIdx.x; i < planes * tasks * kTapsOfTask * lanes; i += blockDim.x) {
      const int rest = i / lanes, own = i - rest * lanes;
      const int k = rest % kTapsOfTask, task_of_plane = rest / kTapsOfTask;
      const int plane = task_of_plane / tasks;
      const StagedTask task(cut, g.down.classes, first_task + task_of_plane - plane * tasks);
      const int ty = task.first + k * g.down.tap_step;
      const int64_t channel = first_out + (nhwc ? own : plane);
      if (ty >= filter_height || channel >= out_channels) continue;
      Sum sum = 0;
#pragma unroll 1
      for (int split = 0; split < cut.splits; ++split) {
        const auto* const of_split =
            sums_of_threads + (task_of_plane * cut.splits + split) * of_item + k * cut.lanes + own;
#pragma unroll 4
        for (int l = 0; l < added; ++l) sum += load_shared(of_split + l).value();
      }
      if (sum != sum) sum = staged_part_again(g, part, ty, task.tx, channel);
      g.partial[(part * taps + ty * filter_width + task.tx) * out_channels + channel] = sum;
    }
  }
}

}  // namespace tf_dwbp::gpu
