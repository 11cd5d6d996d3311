// The kernels for whatever no configuration fits: any stride, dilation, filter and multiplier.
//
// Right everywhere before fast: every product is loaded from global memory, and what neighbours
// share comes from the caches, so that the L1 cache is the limit: two loads for each product.
// Threads that are neighbours in a warp are neighbours in memory, and divisions are few: a thread
// takes several positions whose taps are the same (conv::Gather's classes), so that no position
// is tested for divisibility.
#pragma once

#include "cc/conv/gather.h"
#include "cc/gpu/device.h"
#include "cc/gpu/plan.h"
#include "cc/gpu/sum.cuh"

namespace tf_dwbp::gpu {

// Positions of a row, of one class, that a thread gathers.
inline constexpr int kGeneralRun = 8;

template <typename T>
struct GeneralGatherArguments {
  const T* source;
  const T* filter;
  T* result;
  conv::Gathering gathering;
  int64_t filter_columns;
  int64_t runs;   // of a class in a row
  int64_t items;  // for a thread each

  static GeneralGatherArguments of(const conv::Gathering& g, const T* source, const T* filter,
                                   T* result) {
    const int64_t step = g.width.phase_stride();
    const int64_t classes = step < g.width.result() ? step : g.width.result();
    const int64_t positions = (g.width.result() + step - 1) / step;
    // NCHW: the threads of a warp take turns in a stretch of runs.
    const int64_t stretch = kGeneralRun * (g.layout == conv::Layout::kNHWC ? 1 : 32);
    const int64_t stretches = (positions + stretch - 1) / stretch;
    const int64_t runs = stretches * (stretch / kGeneralRun);
    return {source,
            filter,
            result,
            g,
            g.width.taps(),
            runs,
            g.batch * g.channels * g.height.result() * classes * runs};
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gather_general(const __grid_constant__ GeneralGatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  const conv::Gathering& all = g.gathering;
  const conv::Gather &height = all.height, &width = all.width;
  const bool nhwc = all.layout == conv::Layout::kNHWC;
  const int64_t classes =
      width.phase_stride() < width.result() ? width.phase_stride() : width.result();
  const int64_t filter_channels = all.channels * all.multiplier;
  const int64_t source_channels = all.source_channels();
  // From a column to the next, in each tensor.
  const int64_t source_column = nhwc ? source_channels : 1;
  const int64_t result_column = nhwc ? all.channels : 1;
  const int64_t source_plane = height.source() * width.source();
  const int64_t last_tap = height.taps() * width.taps() - 1;

  for (int64_t item = int64_t{blockIdx.x} * kThreads + threadIdx.x; item < g.items;
       item += int64_t{gridDim.x} * kThreads) {
    // NHWC: [batch, row, class, run, channel]; NCHW: [batch, channel, row, class, run].
    int64_t rest = item, channel = 0;
    if (nhwc) {
      const Divided by = divide(rest, all.channels);
      channel = by.remainder;
      rest = by.quotient;
    }
    const Divided by_run = divide(rest, g.runs);
    const Divided by_class = divide(by_run.quotient, classes);
    const Divided by_row = divide(by_class.quotient, height.result());
    int64_t b = by_row.quotient;
    if (!nhwc) {
      const Divided by = divide(b, all.channels);
      channel = by.remainder;
      b = by.quotient;
    }
    const int64_t y = by_row.remainder;
    const conv::TapRange down = height.at(y);
    const conv::TapRange first = width.without_borders(by_class.remainder);
    const int64_t result_row =
        nhwc ? (b * height.result() + y) * width.result() * all.channels + channel
             : ((b * all.channels + channel) * height.result() + y) * width.result();
    const int64_t begin = nhwc ? by_run.remainder * kGeneralRun
                               : by_run.remainder / 32 * 32 * kGeneralRun + by_run.remainder % 32;
    for (int run = 0; run < kGeneralRun; ++run) {
      const int64_t i = begin + (nhwc ? run : 32 * run);
      const int64_t x = by_class.remainder + i * width.phase_stride();
      if (x >= width.result()) break;
      conv::TapRange across = first;
      across.source += i * width.phase_shift();
      across = width.clip(across);
      Sum sum = 0;
      for (int64_t m = 0; m < all.multiplier; ++m) {
        const int64_t filter_channel = channel * all.multiplier + m;
        const int64_t from = filter_channel / all.repeat;
        const T* const source = g.source + (nhwc ? b * source_plane * source_channels + from
                                                 : (b * source_channels + from) * source_plane);
        for (int64_t ny = 0; ny < down.count; ++ny) {
          const int64_t tap_row = (down.tap + ny * height.tap_step()) * g.filter_columns;
          const T* const row =
              source + (down.source - ny * height.source_step()) * width.source() * source_column;
          for (int64_t nx = 0; nx < across.count; ++nx) {
            const int64_t tap = tap_row + across.tap + nx * width.tap_step();
            const T* const f =
                g.filter + (all.reversed ? last_tap - tap : tap) * filter_channels + filter_channel;
            sum +=
                widen(*f) * widen(row[(across.source - nx * width.source_step()) * source_column]);
          }
        }
      }
      narrow(sum, &g.result[result_row + x * result_column]);
    }
  }
}

template <typename T>
struct GeneralFilterGradArguments {
  const T* input;
  const T* out;
  AccumulatorOf<T>* partial;  // [parts, taps, channels of out_backprop]
  conv::Geometry geometry;
  GeneralFilterGradPlan plan;
};

// Output positions [begin, end) whose window has tap k inside the input.
struct Outputs {
  int64_t begin;
  int64_t end;

  __device__ Outputs(const conv::Axis& axis, int64_t k) {
    // Input position of output 0.
    const int64_t first = k * axis.dilation - axis.pad_before;
    begin = first < 0 ? (-first + axis.stride - 1) / axis.stride : 0;
    end = first < axis.in ? (axis.in - 1 - first) / axis.stride + 1 : 0;
    if (end > axis.out) end = axis.out;
  }
};

// A block has one tap, some channels and one part of the rows of out_backprop.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    filter_grad_general(const __grid_constant__ GeneralFilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  const conv::Geometry& call = g.geometry;
  const GeneralFilterGradPlan& plan = g.plan;
  const bool nhwc = call.layout == conv::Layout::kNHWC;
  const int64_t out_channels = call.out_channels();
  const int64_t input_column = nhwc ? call.channels : 1, out_column = nhwc ? out_channels : 1;
  const int64_t taps = call.height.filter * call.width.filter;
  Sum* const shared = reinterpret_cast<Sum*>(shared_memory());
  const int lane = threadIdx.x & (plan.lanes - 1), group = threadIdx.x / plan.lanes;
  const int row = group / plan.column_threads, column = group & (plan.column_threads - 1);

  for (int64_t block = blockIdx.x; block < plan.channel_blocks * taps * plan.parts;
       block += gridDim.x) {
    const Divided by_channels = divide(block, plan.channel_blocks);
    const Divided by_tap = divide(by_channels.quotient, taps);
    const Divided tap = divide(by_tap.remainder, call.width.filter);
    const int64_t part = by_tap.quotient;
    const int64_t channel = by_channels.remainder * plan.lanes + lane;
    const int64_t input_channel = channel < out_channels ? channel / call.multiplier : 0;
    const Outputs down(call.height, tap.quotient), across(call.width, tap.remainder);
    // What a thread adds is kept in runs as short as those of the other kernels.
    CompensatedSum<Sum> total;
    Sum sum = 0;
    int terms = 0;
    const int64_t begin = part * plan.rows_of_part;
    const int64_t rows = call.batch * call.height.out;
    const int64_t end = begin + plan.rows_of_part < rows ? begin + plan.rows_of_part : rows;
    for (int64_t r = begin + row; r < end && channel < out_channels; r += plan.row_threads) {
      const Divided at = divide(r, call.height.out);
      const int64_t oy = at.remainder;
      if (oy < down.begin || oy >= down.end) continue;
      const int64_t iy =
          oy * call.height.stride + tap.quotient * call.height.dilation - call.height.pad_before;
      const T* const out =
          g.out +
          (nhwc ? r * call.width.out * out_channels + channel
                : ((at.quotient * out_channels + channel) * call.height.out + oy) * call.width.out);
      const T* const input =
          g.input + (nhwc ? (at.quotient * call.height.in + iy) * call.width.in * call.channels +
                                input_channel
                          : ((at.quotient * call.channels + input_channel) * call.height.in + iy) *
                                call.width.in);
      for (int64_t ox = across.begin + column; ox < across.end; ox += plan.column_threads) {
        const int64_t ix =
            ox * call.width.stride + tap.remainder * call.width.dilation - call.width.pad_before;
        sum += widen(input[ix * input_column]) * widen(out[ox * out_column]);
        if (++terms == FilterGradPlan::kTerms) {
          total.add(sum);
          sum = 0;
          terms = 0;
        }
      }
    }
    total.add(sum);
    shared[threadIdx.x] = total.value();
    __syncthreads();
    // A tree over the groups of threads that share a channel.
    for (int half = kThreads / plan.lanes / 2; half > 0; half /= 2) {
      if (group < half) shared[threadIdx.x] += shared[threadIdx.x + half * plan.lanes];
      __syncthreads();
    }
    if (group == 0 && channel < out_channels) {
      g.partial[(part * taps + by_tap.remainder) * out_channels + channel] = shared[lane];
    }
    // The next block's sums go where this one's were; each thread of group 0 reads its own only.
  }
}

template <typename T>
constexpr int general_filter_grad_shared_bytes() {
  return kThreads * static_cast<int>(sizeof(AccumulatorOf<T>));
}

}  // namespace tf_dwbp::gpu
