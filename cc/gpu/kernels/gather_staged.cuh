// The forward op and the input gradient for staged windows: see staged.cuh.
#pragma once

#include "cc/gpu/kernels/finish.cuh"
#include "cc/gpu/kernels/kernels.h"
#include "cc/gpu/kernels/staged.cuh"

namespace tf_dwbp::gpu {

template <typename T>
struct StagedGatherArguments : StagedGather {
  const T* source;
  const T* filter;
  T* result;
  Epilogue<T> epilogue;
};

// Adds what the taps of a class, in a column of the filter, add to a run. `row0` is the row, of
// those staged, that the first position meets at the first tap; rows that are not there add
// nothing, unless a tap is infinite or NaN.
template <typename Sum, typename T>
__device__ __forceinline__ void add_class(const T* column, int row_stride, int rows, int row0,
                                          int source_step, int count, const T* filter,
                                          int filter_step, Sum (&sums)[kRun][1][1]) {
  const auto load = [&](int row, int at) {
    return inside(row, rows) ? widen(load_shared(column + at)) : Sum{0};
  };
  const int step = source_step * row_stride, first = row0 * row_stride;
  // What position i meets at the tap that is next is at i, of as many as the run has, in turn.
  Sum window[kRun];
  int row = row0, at = first;
#pragma unroll
  for (int i = 1; i < kRun; ++i) {
    forget(&row);
    forget(&at);
    row += source_step;
    at += step;
    window[i] = load(row, at);
  }
  row = row0;
  at = first;
  int tap = 0;
#pragma unroll 1
  for (int k = 0; k < count; k += kRun) {
#pragma unroll
    for (int turn = 0; turn < kRun; ++turn) {
      if (k + turn >= count) break;
      forget(&row);
      forget(&at);
      forget(&tap);
      window[(kRun - turn) % kRun] = load(row, at);
      const Sum factor = widen(filter[tap]);
      row -= source_step;
      at -= step;
      tap += filter_step;
#pragma unroll
      for (int i = 0; i < kRun; ++i) sums[i][0][0] += factor * window[(i - turn + kRun) % kRun];
    }
  }
}

// Where a block's tile is among all. Channels are innermost in NHWC, outermost in NCHW, as memory
// is.
struct StagedBlock : StagedPlace {
  int64_t image;          // NHWC
  int64_t channel_block;  // or that of planes

  template <conv::Layout layout>
  __device__ static StagedBlock at(const StagedTile& tile, int64_t block,
                                   const conv::Gathering& g) {
    constexpr bool nhwc = layout == conv::Layout::kNHWC;
    const Divided by_channels = nhwc ? divide(block, tile.channel_blocks) : Divided{block, 0};
    const StagedPlace place(tile, by_channels.quotient, g.height.result(), g.width.result());
    return {place, nhwc ? place.outer : 0, nhwc ? by_channels.remainder : place.outer};
  }
};

// The n-th of a block's items: a run of a column, of a channel or plane of the result.
struct StagedItem {
  int lane;
  int column;
  int run;

  __device__ StagedItem(int n, int lanes, int columns, int runs, bool nhwc) {
    if (nhwc) {
      const int rest = n / lanes;
      lane = n - rest * lanes;
      run = rest / columns;
      column = rest - run * columns;
    } else {
      const int rest = n / columns;
      column = n - rest * columns;
      lane = rest / runs;
      run = rest - lane * runs;
    }
  }
};

// A thread's runs of a block again, sum by sum, in the same order: nothing takes part that lies
// outside.
template <typename T, conv::Layout layout>
__device__ TF_DWBP_NOINLINE void staged_again(const StagedGatherArguments<T>& g, int64_t block) {
  const conv::Gathering& all = g.gathering;
  const conv::Gather &height = all.height, &width = all.width;
  constexpr bool nhwc = layout == conv::Layout::kNHWC;
  const int64_t filter_channels = all.channels * all.multiplier;
  const int64_t source_channels = all.source_channels();
  const int64_t last_tap = height.taps() * width.taps() - 1;
  const StagedBlock at = StagedBlock::at<layout>(g.cut.tile, block, all);
  const int runs = g.down.runs(at.rows, kRun), items = g.cut.tile.results * at.columns * runs;
  // Of an image's channel, the first row's first element, and from one to the next.
  const int64_t source_step = nhwc ? source_channels : 1, result_step = nhwc ? all.channels : 1;
  const auto offset = [&](int64_t image, int64_t channels, int64_t channel, int64_t positions) {
    return nhwc ? image * positions * channels + channel : (image * channels + channel) * positions;
  };
#pragma unroll 1
  for (int n = threadIdx.x; n < items; n += blockDim.x) {
    const StagedItem item(n, g.cut.tile.results, at.columns, runs, nhwc);
    const int64_t first = at.channel_block * g.cut.tile.results + item.lane;
    if (first >= (nhwc ? all.channels : all.batch * all.channels)) continue;
    const int64_t image = nhwc ? at.image : first / all.channels;
    const int64_t channel = nhwc ? first : first % all.channels;
    const int64_t x = at.first_column + item.column;
    const conv::TapRange across = width.at(x);
    int row = g.down.begin(item.run, at.rows, kRun);
#pragma unroll 1
    for (int r = 0; r < kRun && row < at.rows; ++r, row += g.down.run_step) {
      TF_DWBP_COUNT("gather again");
      const int64_t y = at.first_row + row;
      const conv::TapRange down = height.without_borders(y);
      AccumulatorOf<T> sum = 0;
#pragma unroll 1
      for (int64_t q = 0; q < all.multiplier; ++q) {
        const int64_t f = channel * all.multiplier + q;
        const T* const source = g.source + offset(image, source_channels, f / all.repeat,
                                                  height.source() * width.source());
#pragma unroll 1
        for (int64_t j = 0; j < across.count; ++j) {
#pragma unroll 1
          for (int64_t i = 0, c = 0; c < g.down.classes; i = ++c) {
#pragma unroll 1
            for (; i < down.count; i += g.down.classes) {
              const int64_t sy = down.source - i * height.source_step();
              if (sy < 0 || sy >= height.source()) continue;
              const int64_t tap = (down.tap + i * height.tap_step()) * width.taps() + across.tap +
                                  j * width.tap_step();
              const int64_t sx = across.source - j * width.source_step();
              sum += widen(g.filter[(all.reversed ? last_tap - tap : tap) * filter_channels + f]) *
                     widen(source[(sy * width.source() + sx) * source_step]);
            }
          }
        }
      }
      T* const to = g.result +
                    offset(image, all.channels, channel, height.result() * width.result()) +
                    (y * width.result() + x) * result_step;
      Finish<T, Callers::kStaged>::one(to, sum, channel, g.epilogue);
    }
  }
}

// For each position of the result:
//   sum = 0
//   for each channel, or plane, of the source that it gathers from, each column of taps, and each
//   class of a column's taps: add what they meet
//   result = epilogue(sum)
template <typename T, conv::Layout layout>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    gather_staged(const __grid_constant__ StagedGatherArguments<T> g) {
  using Sum = AccumulatorOf<T>;
  const conv::Gathering& all = g.gathering;
  const conv::Gather &height = all.height, &width = all.width;
  constexpr bool nhwc = layout == conv::Layout::kNHWC;
  const StagedTile& tile = g.cut.tile;
  Span* const across = reinterpret_cast<Span*>(shared_memory() + g.cut.tables_offset);
  Span* const down = across + tile.columns;
  const int multiplier = static_cast<int>(all.multiplier), repeat = static_cast<int>(all.repeat);
  const int64_t source_channels = all.source_channels();
  const int64_t filter_channels = all.channels * multiplier;
  const int64_t last_tap = height.taps() * width.taps() - 1;
  const int direction = static_cast<int>(all.reversed ? -filter_channels : filter_channels);
  // To the next tap of a class in a column of the filter, the next class, and the next column.
  const int filter_row = static_cast<int>(width.taps()) * direction;
  const int filter_step = g.down.tap_step * filter_row;
  // Beyond the last tap it is not used.
  const int64_t tap_step = width.tap_step() < width.taps() ? width.tap_step() : 0;
  const int filter_column = static_cast<int>(tap_step) * direction;
  const int64_t result_plane = height.result() * width.result();
  const int source_height = static_cast<int>(height.source());
  const int source_width = static_cast<int>(width.source());

  for (int64_t block = blockIdx.x; block < g.cut.blocks; block += gridDim.x) {
    // The tile before this one has been read.
    if (block != blockIdx.x) __syncthreads();
    const StagedBlock at = StagedBlock::at<layout>(tile, block, all);
    const bool whole = tile.whole;
    Staged<T> staged;
    staged.shared = reinterpret_cast<T*>(shared_memory());
    staged.channels = tile.sources;
    staged.rows = whole ? Stretch{0, source_height}
                        : Stretch::of(height, at.first_row, at.first_row + at.rows);
    staged.columns = nhwc ? Stretch::of(width, at.first_column, at.first_column + at.columns)
                          : Stretch{0, source_width};
    // The first of the block's channels, or planes, of the source and of the result, and how many
    // of the latter there are.
    const int64_t first_source = at.channel_block * tile.sources;
    const int64_t first_result = at.channel_block * tile.results;
    const int64_t left = (nhwc ? all.channels : all.batch * all.channels) - first_result;
    if (nhwc) {
      staged.nhwc(
          g.source + at.image * height.source() * width.source() * source_channels + first_source,
          width.source(), source_channels, source_channels - first_source);
    } else {
      const int64_t planes = all.batch * source_channels;
      if (planes - first_source < tile.sources) {
        staged.channels = static_cast<int>(planes - first_source);
      }
      staged.nchw(g.source, planes, first_source, source_height, whole);
    }
    const int source_column = static_cast<int>(width.source_step()) * staged.column_stride;
    const int runs = g.down.runs(at.rows, kRun);
#pragma unroll 1
    for (int i = threadIdx.x; i < at.columns + runs; i += blockDim.x) {
      const bool of_column = i < at.columns;
      const int64_t position = of_column
                                   ? at.first_column + i
                                   : at.first_row + g.down.begin(i - at.columns, at.rows, kRun);
      const conv::TapRange range =
          of_column ? width.at(position) : height.without_borders(position);
      const int64_t first = of_column ? staged.columns.first : staged.rows.first;
      const Span span{static_cast<int>(range.tap),
                      range.count == 0 ? 0 : static_cast<int>(range.source - first),
                      static_cast<int>(range.count)};
      store_shared(of_column ? &across[i] : &down[i - at.columns], span);
    }
    wait_for_copies();
    __syncthreads();

    const int items = tile.results * at.columns * runs;
    Sum nan = 0;  // or NaN, after a sum that is not finite
#pragma unroll 1
    for (int n = threadIdx.x; n < items; n += blockDim.x) {
      const StagedItem item(n, tile.results, at.columns, runs, nhwc);
      if (item.lane >= left) continue;
      int64_t channel = first_result + item.lane, image = at.image;
      if (!nhwc) {
        const Divided by_image = divide(channel, all.channels);
        image = by_image.quotient;
        channel = by_image.remainder;
      }
      const Span over = load_shared(&across[item.column]);
      const Span from = load_shared(&down[item.run]);
      Sum sums[kRun][1][1] = {};
      const int columns_met = from.count == 0 ? 0 : over.count;
      const int64_t first_tap = from.tap * width.taps() + over.tap;
      const T* taps = g.filter +
                      (all.reversed ? last_tap - first_tap : first_tap) * filter_channels +
                      channel * multiplier;
#pragma unroll 1
      for (int q = 0; q < multiplier; ++q, ++taps) {
        const int lane = repeat > 1 ? item.lane / repeat : item.lane * multiplier + q;
        const T* column =
            (nhwc ? staged.channel(lane)
                  : staged.plane(lane, g.source, first_source, source_height, whole)) +
            over.source * staged.column_stride;
        const T* filter = taps;
#pragma unroll 1
        for (int j = 0; j < columns_met; ++j) {
          const T* of_class = filter;
          int row = from.source;
#pragma unroll 1
          for (int c = 0; c < g.down.classes; ++c) {
            const int count = g.down.classes == 1
                                  ? from.count
                                  : (from.count - c + g.down.classes - 1) / g.down.classes;
            add_class(column, staged.row_stride, staged.rows.count, row, g.down.source_step, count,
                      of_class, filter_step, sums);
            of_class += filter_row;
            row -= g.down.class_step;
          }
          filter += filter_column;
          column -= source_column;
        }
      }
#pragma unroll
      for (int i = 0; i < kRun; ++i) nan += 0 * sums[i][0][0];
      Finish<T, Callers::kStaged>::all(sums, channel, 1, g.epilogue);

      const int first_row = g.down.begin(item.run, at.rows, kRun);
      const int64_t y = at.first_row + first_row, x = at.first_column + item.column;
      const int64_t step = nhwc ? all.channels : 1;
      const int64_t row_step = g.down.run_step * width.result() * step;
      T* to = g.result +
              (nhwc ? image * result_plane * all.channels + channel
                    : (first_result + item.lane) * result_plane) +
              (y * width.result() + x) * step;
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        if (first_row + i * g.down.run_step >= at.rows) break;
        *to = Finish<T, Callers::kStaged>::round(sums[i][0][0]);
        to += row_step;
      }
    }
    if (nan != nan) staged_again<T, layout>(g, block);
  }
}

}  // namespace tf_dwbp::gpu
