// The kernels for whatever no configuration fits: any stride, dilation, filter and multiplier.
//
// Right everywhere before fast: every product is loaded from global memory, and what neighbours
// share comes from the caches, so that the L1 cache is the limit: two loads for each product.
// Threads that are neighbours in a warp are neighbours in memory, and divisions are few: a thread
// takes several positions whose taps are the same (conv::Gather's phases), so that no position
// is tested for divisibility.
#pragma once

#include "cc/conv/gather.h"
#include "cc/conv/math.h"
#include "cc/gpu/device.h"
#include "cc/gpu/kernels/finish.cuh"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/kernels/sum.cuh"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

template <typename T>
struct GeneralGatherArguments : GeneralGather {
  const T* source;
  const T* filter;
  T* result;
  Epilogue<T> epilogue;
};

// For each image, channel c and position (y, x) of the result:
//   sum = 0
//   for m in [0, multiplier), and each tap (ty, tx) through which y and x gather from (sy, sx):
//     f = c * multiplier + m
//     sum += filter[ty][tx][f] * source[sy][sx][f / repeat]
//   result[y][x][c] = epilogue(sum)
template <typename T>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    gather_general(const __grid_constant__ GeneralGatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  const conv::Gathering& all = g.gathering;
  const conv::Gather &height = all.height, &width = all.width;
  const bool nhwc = all.layout == conv::Layout::kNHWC;
  const int64_t filter_channels = all.channels * all.multiplier;
  const int64_t source_channels = all.source_channels();
  const int64_t source_stride = nhwc ? source_channels : 1;  // from a column to the next
  const int64_t result_stride = nhwc ? all.channels : 1;
  const int64_t source_plane = height.source() * width.source();
  const int64_t last_tap = height.taps() * width.taps() - 1;
  // From a tap to the next of those that are met, and between the source positions that meet them,
  // backwards.
  const int64_t direction = all.reversed ? -filter_channels : filter_channels;
  const int64_t filter_row = height.tap_step() * g.filter_columns * direction;
  const int64_t filter_column = width.tap_step() * direction;
  const int64_t source_row = height.source_step() * width.source() * source_stride;
  const int64_t source_column = width.source_step() * source_stride;

  for (int64_t item = int64_t{blockIdx.x} * kThreads + threadIdx.x; item < g.items;
       item += int64_t{gridDim.x} * kThreads) {
    // NHWC: [batch, row, phase, run, channel]; NCHW: [batch, channel, row, phase, run].
    int64_t rest = item, channel = 0;
    if (nhwc) {
      const Divided by = divide(rest, all.channels);
      channel = by.remainder;
      rest = by.quotient;
    }
    const Divided by_run = divide(rest, g.runs);
    const Divided by_phase = divide(by_run.quotient, g.phases);
    const Divided by_row = divide(by_phase.quotient, height.result());
    int64_t b = by_row.quotient;
    if (!nhwc) {
      const Divided by = divide(b, all.channels);
      channel = by.remainder;
      b = by.quotient;
    }
    const int64_t y = by_row.remainder;
    const conv::TapRange down = height.at(y);
    const conv::TapRange first = width.without_borders(by_phase.remainder);
    const int64_t result_row =
        nhwc ? (b * height.result() + y) * width.result() * all.channels + channel
             : ((b * all.channels + channel) * height.result() + y) * width.result();
    const int64_t begin =
        nhwc ? by_run.remainder * kGeneralRun
             : by_run.remainder / kWarp * kWarp * kGeneralRun + by_run.remainder % kWarp;
    for (int run = 0; run < kGeneralRun; ++run) {
      const int64_t i = begin + (nhwc ? run : kWarp * run);
      const int64_t x = by_phase.remainder + i * width.phase_stride();
      if (x >= width.result()) break;
      conv::TapRange across = first;
      across.source += i * width.phase_shift();
      across = width.clip(across);
      const int64_t first_tap = down.tap * g.filter_columns + across.tap;
      const int64_t first_source = down.source * width.source() + across.source;
      const T* filter = g.filter +
                        (all.reversed ? last_tap - first_tap : first_tap) * filter_channels +
                        channel * all.multiplier;
      Sum sum = 0;
      for (int64_t m = 0; m < all.multiplier; ++m, ++filter) {
        const int64_t from = divide(channel * all.multiplier + m, all.repeat).quotient;
        const T* source = g.source +
                          (nhwc ? b * source_plane * source_channels + from
                                : (b * source_channels + from) * source_plane) +
                          first_source * source_stride;
        const T* row_filter = filter;
        for (int64_t ny = 0; ny < down.count; ++ny) {
          const T *f = row_filter, *at = source;
#pragma unroll 4
          for (int64_t nx = 0; nx < across.count; ++nx) {
            sum += widen(*f) * widen(*at);
            f += filter_column;
            at -= source_column;
          }
          row_filter += filter_row;
          source -= source_row;
        }
      }
      Finish<T>::one(&g.result[result_row + x * result_stride], sum, channel, g.epilogue);
    }
  }
}

template <typename T>
struct GeneralFilterGradArguments : GeneralFilterGrad {
  const T* input;
  const T* out;
  AccumulatorOf<T>* partial;  // [parts, taps, channels of out_backprop]
};

// Output positions [begin, end) whose window has tap k inside the input.
struct Outputs {
  int64_t begin;
  int64_t end;

  __device__ Outputs(const conv::Axis& axis, int64_t k) {
    // Input position of output 0.
    const int64_t first = k * axis.dilation - axis.pad_before;
    begin = first < 0 ? conv::ceil_div(-first, axis.stride) : 0;
    end = first < axis.in ? (axis.in - 1 - first) / axis.stride + 1 : 0;
    if (end > axis.out) end = axis.out;
  }
};

// For each part of the rows of out_backprop, tap (ky, kx) and channel c of out_backprop:
//   sum = 0
//   for each row oy of the part, and each ox, where (iy, ix), which the tap meets, is inside:
//     sum += input[iy][ix][c / multiplier] * out_backprop[oy][ox][c]
//   partial[part][ky][kx][c] = sum
// A block has one tap, some channels and one part.
template <typename T>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    filter_grad_general(const __grid_constant__ GeneralFilterGradArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  const conv::Geometry& call = g.geometry;
  const GeneralParts& cut = g.cut;
  const bool nhwc = call.layout == conv::Layout::kNHWC;
  const int64_t out_channels = call.out_channels();
  const int64_t input_stride = nhwc ? call.channels : 1;  // from a column to the next
  const int64_t out_stride = nhwc ? out_channels : 1;
  const int64_t input_step = cut.column_threads * call.width.stride * input_stride;
  const int64_t out_step = cut.column_threads * out_stride;
  const int64_t taps = call.height.filter * call.width.filter;
  Sum* const shared = reinterpret_cast<Sum*>(shared_memory());
  const int lane = threadIdx.x & (cut.lanes - 1), group = threadIdx.x / cut.lanes;
  const int row = group / cut.column_threads, column = group & (cut.column_threads - 1);

  for (int64_t block = blockIdx.x; block < cut.channel_blocks * taps * cut.parts;
       block += gridDim.x) {
    const Divided by_channels = divide(block, cut.channel_blocks);
    const Divided by_tap = divide(by_channels.quotient, taps);
    const Divided tap = divide(by_tap.remainder, call.width.filter);
    const int64_t part = by_tap.quotient;
    const int64_t channel = by_channels.remainder * cut.lanes + lane;
    const int64_t input_channel =
        channel < out_channels ? divide(channel, call.multiplier).quotient : 0;
    const Outputs down(call.height, tap.quotient), across(call.width, tap.remainder);
    // What a thread adds is kept in runs as short as those of the other kernels.
    CompensatedSum<Sum> total;
    Sum sum = 0;
    int terms = 0;
    const int64_t begin = part * cut.rows_of_part;
    const int64_t rows = call.batch * call.height.out;
    const int64_t end = begin + cut.rows_of_part < rows ? begin + cut.rows_of_part : rows;
    for (int64_t r = begin + row; r < end && channel < out_channels; r += cut.row_threads) {
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
      const int64_t first = across.begin + column;
      const T* from = input + (first * call.width.stride + tap.remainder * call.width.dilation -
                               call.width.pad_before) *
                                  input_stride;
      const T* with = out + first * out_stride;
      for (int64_t ox = first; ox < across.end; ox += cut.column_threads) {
        sum += widen(*from) * widen(*with);
        from += input_step;
        with += out_step;
        if (++terms == kTermsOfSum) {
          total.add(sum);
          sum = 0;
          terms = 0;
        }
      }
    }
    total.add(sum);
    store_shared(&shared[threadIdx.x], total.value());
    __syncthreads();
    // A tree over the groups of threads that share a channel.
    for (int half = kThreads / cut.lanes / 2; half > 0; half /= 2) {
      if (group < half) {
        const Sum theirs = load_shared(&shared[threadIdx.x + half * cut.lanes]);
        store_shared(&shared[threadIdx.x], load_shared(&shared[threadIdx.x]) + theirs);
      }
      __syncthreads();
    }
    if (group == 0 && channel < out_channels) {
      g.partial[(part * taps + by_tap.remainder) * out_channels + channel] =
          load_shared(&shared[lane]);
    }
    // The next block's sums go where this one's were; each thread of group 0 reads its own only.
  }
}

template <typename T>
constexpr int general_filter_grad_shared_bytes() {
  return kThreads * static_cast<int>(sizeof(AccumulatorOf<T>));
}

}  // namespace tf_dwbp::gpu
