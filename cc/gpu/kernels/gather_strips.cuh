// The forward op and the input gradient for strips: see strips.cuh and gather.cuh.
#pragma once

#include <type_traits>

#include "cc/gpu/kernels/descent.cuh"
#include "cc/gpu/kernels/gather.cuh"
#include "cc/gpu/kernels/strips.cuh"

namespace tf_dwbp::gpu {

template <typename T>
struct GatherStripsArguments : GatherStrips {
  const T* source;
  const T* filter;
  T* result;
};

// What is known of a step when it is compiled.
inline constexpr int kNever = 0, kAlways = 1, kMaybe = 2;
template <int what>
using Told = std::integral_constant<int, what>;

// A thread's strips of a block again, sum by sum, straight to the result.
template <typename T, int index>
__device__ TF_DWBP_NOINLINE void strips_again(const GatherStripsArguments<T>& g, int64_t block) {
  const StripPlace at(g.cut, block, g.channels, g.batch, g.height.result);
  const int width = g.width.result;
  const int p = threadIdx.x / width, x = threadIdx.x - p * width;
  const int64_t channel = at.first_channel + p;
  for (int64_t image = at.first_image; image < at.end_image; ++image) {
    const int64_t plane = image * g.channels + channel;
    for (int row = at.first_row; row < at.end_row; ++row) {
      const AccumulatorOf<T> sum = sum_again<index, T>(
          g.height, g.width, 0, 0, row - g.height.result_origin, x - g.width.result_origin,
          g.source + plane * g.height.source * g.width.source, g.width.source, 1,
          {g.filter + channel, g.channels, g.reversed});
      g.result[(plane * g.height.result + row) * width + x] = Finish<T>::round(sum);
    }
  }
}

template <typename T, int index>
__global__ void __launch_bounds__(kStripThreads,
                                  strip_blocks(gather_strips_values(kGatherConfigurations[index],
                                                                    sizeof(T))))
    gather_strips(const __grid_constant__ GatherStripsArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  using D = Descent<index>;
  constexpr Configuration config = kGatherConfigurations[index];
  constexpr int taps = D::taps, kColumns = D::kColumns;
  static_assert(taps <= kStripSlack, "what is read beside a line is there");
  const StripCut& cut = g.cut;
  T* const shared = reinterpret_cast<T*>(shared_memory());
  T* const made = shared + 2 * cut.source.elements;
  const int width = g.width.result;
  const int p = threadIdx.x / width, x = threadIdx.x - p * width;
  const int64_t source_plane = int64_t{g.height.source} * g.width.source;
  const int64_t result_plane = int64_t{g.height.result} * width;
  const T* const source_end = g.source + g.batch * g.channels * source_plane;
  // What lies between lines is read, and must be the same each time.
  clear_shared(shared, 2 * cut.source.elements);
  __syncthreads();

  // The column's taps: those outside are zeros.
  const int jx = x - g.width.result_origin;
  const int met = (D::rs * jx + D::ss - 1) / D::ss;
  const int first_tap = D::rs * jx + taps - 1 - D::ss * met;
  const int first_column = g.width.source_origin + met;
  const int column = first_column < -kStripSlack     ? -kStripSlack
                     : first_column > g.width.source ? g.width.source
                                                     : first_column;

  for (int64_t block = blockIdx.x; block < cut.blocks(); block += gridDim.x) {
    const StripPlace at(cut, block, g.channels, g.batch, g.height.result);
    const Rows staged = rows_staged(config, g.height, at.first_row, at.end_row);
    const Lines<T> source(cut.source, at.planes, p, g.height.source, g.width.source, staged.first,
                          staged.end);
    const Lines<T> result(cut.result, at.planes, p, g.height.result, width, at.first_row,
                          at.end_row);
    const bool active = p < at.planes;
    const int64_t first_plane = at.first_image * g.channels + at.first_channel;
    const T* from = g.source + first_plane * source_plane +
                    Lines<T>::offset(at.planes, g.height.source, g.width.source, staged.first);
    T* to = g.result + first_plane * result_plane +
            Lines<T>::offset(at.planes, g.height.result, width, at.first_row);
    source.stage(shared, from, g.source, source_end);

    Sum filter[taps * kColumns];
    const FilterOf<taps, T> f{g.filter + at.first_channel + p, g.channels, g.reversed};
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int tap = first_tap - D::ss * i;
      const bool there = active && tap >= 0 && inside(first_column + i, g.width.source);
#pragma unroll
      for (int ty = 0; ty < taps; ++ty) {
        filter[ty * kColumns + i] = there ? f(ty * taps + tap) : Sum{0};
      }
    }
    // As the windows count.
    const int first = at.first_row - g.height.result_origin;
    const int end = at.end_row - g.height.result_origin;
    const int origin = g.height.source_origin;
    // Steps that meet rows of the source, and those that do so with all their rows.
    const int steps = D::end_step(end), there = (staged.end - origin) / D::rs;
    const int full = D::first_full(first), full_end = D::end_full(end);
    int begin = D::first_step(first);
    if (D::rs == 1 && D::ss == 1 && begin < -origin) begin = -origin < full ? -origin : full;

    int parity = 0;
    Sum nan = 0;  // or NaN, after a sum that is not finite
    for (int64_t images = at.end_image - at.first_image; images > 0; --images) {
      wait_for_copies();
      __syncthreads();
      if (images > 1) {
        source.stage(shared + (1 - parity) * cut.source.elements, from + g.channels * source_plane,
                     g.source, source_end);
      }
      if (active) {
        const T* read = shared + parity * cut.source.elements + source.place(from) + column;
        T* write = made + result.place(to) + x;
        Sum sums[D::kSums] = {};
        // kLoads: whether rows are there; kMakes: whether sums are finished. Or else that is seen.
        const auto step = [&](int t, auto loads, auto makes) {
          constexpr int kLoads = decltype(loads)::value, kMakes = decltype(makes)::value;
#pragma unroll
          for (int q = 0; q < D::rs; ++q) {
            if (kLoads == kNever) continue;
            if (kLoads == kMaybe && !staged.have(origin + D::rs * t + q)) continue;
            Sum row[kColumns];
#pragma unroll
            for (int i = 0; i < kColumns; ++i) row[i] = widen(load_shared(read + i));
            read += g.width.source;
#pragma unroll
            for (int s = 0; s < D::kSums; ++s) {
              const int ty = D::tap(s, q);
              if (ty < 0 || ty >= taps) continue;
#pragma unroll
              for (int i = 0; i < kColumns; ++i) sums[s] += filter[ty * kColumns + i] * row[i];
            }
          }
#pragma unroll
          for (int s = 0; s < D::kFinished; ++s) {
            const int j = D::oldest(t) + s;
            if (kMakes == kNever || (kMakes == kMaybe && !(first <= j && j < end))) continue;
            nan += 0 * sums[s];
            store_shared(write, Finish<T>::round(sums[s]));
            write += width;
          }
#pragma unroll
          for (int s = 0; s < D::kSums; ++s) {
            sums[s] = s + D::kFinished < D::kSums ? sums[s + D::kFinished] : Sum{0};
          }
        };
        int t = begin;
        if constexpr (D::rs == 1 && D::ss == 1) {
#pragma unroll 1
          for (; t < full && t < there; ++t) step(t, Told<kAlways>(), Told<kNever>());
#pragma unroll 1
          for (; t < full; ++t) step(t, Told<kNever>(), Told<kNever>());
#pragma unroll 1
          for (; t < -origin && t < steps; ++t) step(t, Told<kNever>(), Told<kAlways>());
#pragma unroll D::kPeriod
          for (; t < there && t < steps; ++t) step(t, Told<kAlways>(), Told<kAlways>());
#pragma unroll 1
          for (; t < steps; ++t) step(t, Told<kNever>(), Told<kAlways>());
        } else {
          const int before = origin < 0 ? (D::rs - 1 - origin) / D::rs : 0;
          const int checked = full > before ? full : before;
          const int checked_end = there < full_end ? there : full_end;
#pragma unroll 1
          for (; t < checked && t < steps; ++t) step(t, Told<kMaybe>(), Told<kMaybe>());
#pragma unroll D::kPeriod
          for (; t < checked_end; ++t) step(t, Told<kAlways>(), Told<kAlways>());
#pragma unroll 1
          for (; t < steps; ++t) step(t, Told<kMaybe>(), Told<kMaybe>());
        }
      }
      __syncthreads();
      result.store(made, to);
      parity = 1 - parity;
      from += g.channels * source_plane;
      to += g.channels * result_plane;
    }
    // What has been stored was stored by others.
    __syncthreads();
    if (nan != nan) strips_again<T, index>(g, block);
  }
}

}  // namespace tf_dwbp::gpu
