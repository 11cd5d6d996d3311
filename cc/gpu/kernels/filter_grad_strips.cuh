// The filter gradient for strips: see strips.cuh and filter_grad.cuh. A thread sums the taps of its
// column of out_backprop, in registers, over the band's rows of all images of its block's part.
#pragma once

#include <type_traits>

#include "cc/gpu/kernels/filter_grad.cuh"
#include "cc/gpu/kernels/strips.cuh"

namespace tf_dwbp::gpu {

template <typename T>
struct FilterGradStripsArguments : FilterGradStrips {
  const T* input;
  const T* out;
  AccumulatorOf<T>* partial;  // [parts, taps, channels]
};

// What a part's sum for a tap is when nothing takes part that lies outside.
template <int index, typename T>
__device__ TF_DWBP_NOINLINE AccumulatorOf<T> strip_part_again(const FilterGradStripsArguments<T>& g,
                                                              int64_t first_image,
                                                              int64_t end_image, int first_row,
                                                              int end_row, int tap,
                                                              int64_t channel) {
  constexpr Configuration config = kFilterGradConfigurations[index];
  TF_DWBP_COUNT("part again");
  const int ky = tap / config.taps, kx = tap % config.taps;
  const int64_t input_plane = int64_t{g.height.source} * g.width.source;
  const int64_t out_plane = int64_t{g.height.result} * g.width.result;
  AccumulatorOf<T> sum = 0;
  for (int64_t image = first_image; image < end_image; ++image) {
    const T* const input = g.input + (image * g.channels + channel) * input_plane;
    const T* const out = g.out + (image * g.channels + channel) * out_plane;
    for (int oy = first_row; oy < end_row; ++oy) {
      const int iy = g.height.source_origin + oy * config.result_step + ky;
      if (!inside(iy, g.height.source)) continue;
      for (int ox = 0; ox < g.width.result; ++ox) {
        const int ix = g.width.source_origin + ox * config.result_step + kx;
        if (!inside(ix, g.width.source)) continue;
        sum += widen(input[int64_t{iy} * g.width.source + ix]) *
               widen(out[int64_t{oy} * g.width.result + ox]);
      }
    }
  }
  return sum;
}

template <typename T, int index>
__global__ void __launch_bounds__(kStripThreads, strip_blocks(filter_grad_strips_values(
                                                     kFilterGradConfigurations[index], sizeof(T))))
    filter_grad_strips(const __grid_constant__ FilterGradStripsArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  constexpr Configuration config = kFilterGradConfigurations[index];
  constexpr int taps = config.taps, rs = config.result_step;
  // Rows of out_backprop that a step meets.
  constexpr int kOut = (taps - 1) / rs + 1;
  static_assert(taps <= kStripSlack, "what is read beside a line is there");
  const StripCut& cut = g.cut;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  const int buffer = cut.source.elements + cut.result.elements;
  const int width = g.width.result;
  const int p = threadIdx.x / width, x = threadIdx.x - p * width;
  const int64_t input_plane = int64_t{g.height.source} * g.width.source;
  const int64_t out_plane = int64_t{g.height.result} * width;
  const T* const input_end = g.input + g.batch * g.channels * input_plane;
  const T* const out_end = g.out + g.batch * g.channels * out_plane;
  const int first_column = g.width.source_origin + rs * x;
  const int column = first_column < -kStripSlack     ? -kStripSlack
                     : first_column > g.width.source ? g.width.source
                                                     : first_column;

  for (int64_t block = blockIdx.x; block < cut.blocks(); block += gridDim.x) {
    const StripPlace at(cut, block, g.channels, g.batch, g.height.result);
    const Rows staged = rows_staged(config, g.height, at.first_row, at.end_row);
    const Lines<T> input(cut.source, at.planes, p, g.height.source, g.width.source, staged.first,
                         staged.end);
    const Lines<T> out(cut.result, at.planes, p, g.height.result, width, at.first_row, at.end_row);
    const bool active = p < at.planes;
    // What lies between lines is read, and what the sums have left there.
    __syncthreads();
    clear_shared(shared, 2 * buffer);
    __syncthreads();
    const int64_t first_plane = at.first_image * g.channels + at.first_channel;
    const T* from = g.input + first_plane * input_plane +
                    Lines<T>::offset(at.planes, g.height.source, g.width.source, staged.first);
    const T* from_out = g.out + first_plane * out_plane +
                        Lines<T>::offset(at.planes, g.height.result, width, at.first_row);
    const auto stage = [&](int parity, const T* images, const T* outs) {
      T* const to = shared + parity * buffer;
      input.stage(to, images, g.input, input_end);
      out.stage(to + cut.source.elements, outs, g.out, out_end);
    };
    stage(0, from, from_out);

    Sum sums[taps * taps] = {};
    int parity = 0;
    for (int64_t image = at.first_image; image < at.end_image; ++image) {
      const T* const next = from + g.channels * input_plane;
      const T* const next_out = from_out + g.channels * out_plane;
      wait_for_copies();
      __syncthreads();
      if (image + 1 < at.end_image) stage(1 - parity, next, next_out);
      if (active) {
        const T* read = shared + parity * buffer + input.place(from) + column;
        const T* read_out =
            shared + parity * buffer + cut.source.elements + out.place(from_out) + x;
        // The youngest last.
        Sum outs[kOut] = {};
        const int end = at.end_row, origin = g.height.source_origin;
        const auto step = [&](int t, auto checked) {
          constexpr bool kChecked = decltype(checked)::value;
#pragma unroll
          for (int a = 0; a + 1 < kOut; ++a) outs[a] = outs[a + 1];
          outs[kOut - 1] = 0;
          if (!kChecked || t < end) {
            outs[kOut - 1] = widen(load_shared(read_out));
            read_out += width;
          }
#pragma unroll
          for (int q = 0; q < rs; ++q) {
            if (kChecked && !staged.have(origin + rs * t + q)) continue;
            Sum row[taps];
#pragma unroll
            for (int i = 0; i < taps; ++i) row[i] = widen(load_shared(read + i));
            read += g.width.source;
#pragma unroll
            for (int a = 0; a < kOut; ++a) {
              const int ky = rs * (kOut - 1 - a) + q;
              if (ky >= taps) continue;
#pragma unroll
              for (int kx = 0; kx < taps; ++kx) sums[ky * taps + kx] += row[kx] * outs[a];
            }
          }
        };
        int t = at.first_row;
        const int steps = end + kOut - 1;
        const int full = origin < 0 ? (rs - 1 - origin) / rs : 0;
        const int there = (staged.end - origin) / rs;
        const int full_end = there < end ? there : end;
#pragma unroll 1
        for (; t < full && t < steps; ++t) step(t, std::true_type());
#pragma unroll kOut
        for (; t < full_end; ++t) step(t, std::false_type());
        // What is left meets the last rows alone.
#pragma unroll 1
        for (; t < steps && origin + rs * t < staged.end; ++t) step(t, std::true_type());
      }
      parity = 1 - parity;
      from = next;
      from_out = next_out;
    }

    // [taps][plane][column], of so many rows of taps at a time. A few threads share each sum.
    Sum* const of_threads = reinterpret_cast<Sum*>(shared_memory());
    constexpr int kRows = rows_of_strip_sums(taps, sizeof(Sum));
    const int64_t part = block / cut.groups;
    for (int first = 0; first < taps; first += kRows) {
      __syncthreads();
      if (active) {
#pragma unroll
        for (int tap = 0; tap < taps * taps; ++tap) {
          const int row = tap / taps - first;
          if (row < 0 || row >= kRows) continue;
          const bool there = inside(first_column + tap % taps, g.width.source);
          store_shared(&of_threads[(row * taps + tap % taps) * kStripThreads + threadIdx.x],
                       there ? sums[tap] : Sum{0});
        }
      }
      __syncthreads();
      const int rows = taps - first < kRows ? taps - first : kRows;
      const int all = rows * taps * at.planes * kThreadsOfSum;
      for (int start = 0; start < all; start += blockDim.x) {
        const int i = (start + threadIdx.x) / kThreadsOfSum, lane = threadIdx.x % kThreadsOfSum;
        const int tap = i / at.planes, plane = i - tap * at.planes;
        Sum sum = 0;
        if (start + static_cast<int>(threadIdx.x) < all) {
          const Sum* const column = of_threads + tap * kStripThreads + plane * width;
          for (int x = lane; x < width; x += kThreadsOfSum) sum += load_shared(column + x);
        }
#pragma unroll
        for (int distance = kThreadsOfSum / 2; distance > 0; distance /= 2) {
          sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        }
        if (lane > 0 || start + static_cast<int>(threadIdx.x) >= all) continue;
        const int64_t channel = at.first_channel + plane;
        if (sum != sum) {
          sum = strip_part_again<index>(g, at.first_image, at.end_image, at.first_row, at.end_row,
                                        first * taps + tap, channel);
        }
        g.partial[(part * taps * taps + first * taps + tap) * g.channels + channel] = sum;
      }
    }
  }
}

}  // namespace tf_dwbp::gpu
