#include "cc/cpu/input_grad.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cc/conv/taps.h"
#include "cc/cpu/denormals.h"
#include "cc/cpu/input_grad_kernels.h"
#include "cc/cpu/target.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Geometry;
using conv::TapFinder;
using conv::TapRange;

// Items enough for any pool to balance; more would only repeat the set-up of an item.
constexpr int64_t kEnoughItems = 64;
// Pixels whose horizontal taps are found once and kept on the stack for all rows of an item.
constexpr int64_t kTilePixels = 128;
// Channels are split only in whole groups of this many: at least a cache line of every type.
constexpr int64_t kChannelGroup = 64;

// The vectors that costs are estimated for.
constexpr double kVectorBytes = 32;

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

const InputGradTables& tables() {
#if defined(TF_DWBP_HAVE_AVX2)
  if (best_target() == Target::kAvx2) return kInputGradTables_avx2;
#endif
  return kInputGradTables_baseline;
}

template <typename T>
const InputGradKernels<T>& kernels() {
  if constexpr (std::is_same_v<T, Half>) return tables().half_;
  if constexpr (std::is_same_v<T, Bfloat16>) return tables().bfloat16_;
  if constexpr (std::is_same_v<T, float>) return tables().float_;
  if constexpr (std::is_same_v<T, double>) return tables().double_;
}

// Splits `size` into blocks of at most `block`, until `others` of these make items enough; but
// not below `least`.
int64_t split(int64_t size, int64_t block, int64_t least, int64_t others) {
  block = std::min(block, size);
  while (block > least && others * divide_up(size, block) < kEnoughItems) {
    block = std::max(least, divide_up(block, 2));
  }
  return block;
}

template <typename T>
struct Arguments {
  const Geometry& geometry;
  const AccumulatorOf<T>* filter;
  const T* out_backprop;
  T* input_grad;
};

// What an item costs when `items` of them share the work evenly: a multiply-add of a vector takes
// about a cycle. Memory is left out on purpose. What is small enough for that to matter is in the
// cache, and waking a second thread too early was seen to cost more than waking it too late.
template <typename T>
double cycles_of_item(const Geometry& g, int64_t items) {
  const double taps = static_cast<double>(g.height.filter) * g.width.filter / g.height.stride /
                      g.width.stride * g.multiplier;
  const double elements = static_cast<double>(g.input_elements()) / items;
  return elements * (1 + taps) * sizeof(AccumulatorOf<T>) / kVectorBytes;
}

// Items are tiles of batch x rows x columns x channels, channels fastest.
//
// A step from tap to tap that is larger than the tensor is never taken; it is cut to the
// tensor's size so that its product with a row's can't overflow.
template <typename T>
void nhwc(const Arguments<T>& arguments, const ParallelFor& parallel_for) {
  const Geometry& g = arguments.geometry;
  const int64_t tiles = divide_up(g.width.in, kTilePixels);
  const int64_t rows = split(g.height.in, g.height.in, 1, g.batch * tiles);
  const int64_t row_blocks = divide_up(g.height.in, rows);
  // Large steps between the channels of a row disturb the prefetcher: only when nothing else
  // is left to split.
  const int64_t groups =
      split(divide_up(g.channels, kChannelGroup), g.channels, 1, g.batch * tiles * row_blocks);
  const int64_t block_channels = groups * kChannelGroup;
  const int64_t channel_blocks = divide_up(g.channels, block_channels);
  const int64_t items = g.batch * row_blocks * tiles * channel_blocks;

  const TapFinder vertical(g.height);
  const TapFinder horizontal(g.width);
  NhwcRow<T> common{};
  common.filter = arguments.filter;
  common.channels = g.channels;
  common.multiplier = g.multiplier;
  common.filter_row = g.width.filter * g.out_channels();
  common.out_row = g.width.out * g.out_channels();
  common.vertical_filter = std::min(vertical.tap_step(), g.height.filter) * common.filter_row;
  common.vertical_out = std::min(vertical.out_step(), g.height.out) * common.out_row;
  common.horizontal_filter = std::min(horizontal.tap_step(), g.width.filter) * g.out_channels();
  common.horizontal_out = std::min(horizontal.out_step(), g.width.out) * g.out_channels();

  parallel_for(items, cycles_of_item<T>(g, items), [&](int64_t begin, int64_t end) {
    const ScopedIeeeDenormals ieee;
    const InputGradKernels<T>& kernel = kernels<T>();
    TapRange taps[kTilePixels];
    int64_t tile_of_taps = -1;
    NhwcRow<T> row = common;
    row.horizontal = taps;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t channel_block = item % channel_blocks;
      const int64_t tile = item / channel_blocks % tiles;
      const int64_t row_block = item / channel_blocks / tiles % row_blocks;
      const int64_t b = item / channel_blocks / tiles / row_blocks;

      row.first_channel = channel_block * block_channels;
      row.last_channel = std::min(g.channels, row.first_channel + block_channels);
      row.out_backprop = arguments.out_backprop + b * g.height.out * row.out_row;
      const int64_t x = tile * kTilePixels;
      row.pixels = std::min(kTilePixels, g.width.in - x);
      if (tile != tile_of_taps) {
        for (int64_t i = 0; i < row.pixels; ++i) taps[i] = horizontal.at(x + i);
        tile_of_taps = tile;
      }
      const int64_t last_row = std::min(g.height.in, (row_block + 1) * rows);
      for (int64_t y = row_block * rows; y < last_row; ++y) {
        row.vertical = vertical.at(y);
        row.input_grad =
            arguments.input_grad + ((b * g.height.in + y) * g.width.in + x) * g.channels;
        kernel.nhwc_row(row);
      }
    }
  });
}

// One row of a plane, as strips of the columns that share their taps modulo the stride.
template <typename T>
void nchw_row(const Geometry& g, const TapFinder& horizontal, NchwStrip<T> strip, T* row) {
  const conv::Axis& axis = g.width;
  const int64_t classes = std::min(horizontal.tap_step(), axis.filter);  // that have taps at all
  if (classes < axis.stride) std::memset(row, 0, axis.in * sizeof(T));
  for (int64_t tap = 0; tap < classes; ++tap) {
    // The columns x = j * stride + first, from the first j with x >= 0.
    const int64_t offset = tap * axis.dilation;
    const int64_t phase = offset % axis.stride;
    const int64_t first_j = divide_up(std::max<int64_t>(0, axis.pad_before - phase), axis.stride);
    const int64_t first = first_j * axis.stride + phase - axis.pad_before;
    if (first >= axis.in) continue;
    const int64_t count = (axis.in - 1 - first) / axis.stride + 1;
    strip.horizontal_taps = (axis.filter - 1 - tap) / horizontal.tap_step() + 1;
    strip.first_filter = tap * g.out_channels();
    for (int64_t done = 0; done < count; done += kMaxStrip) {
      strip.first_out = first_j + done - offset / axis.stride;
      strip.elements = std::min(kMaxStrip, count - done);
      strip.input_grad = row + first + done * axis.stride;
      kernels<T>().nchw_strip(strip);
    }
  }
}

// Items are blocks of rows of batch x channels planes, rows fastest.
template <typename T>
void nchw(const Arguments<T>& arguments, const ParallelFor& parallel_for) {
  const Geometry& g = arguments.geometry;
  const int64_t planes = g.batch * g.channels;
  const int64_t rows = split(g.height.in, g.height.in, 1, planes);
  const int64_t row_blocks = divide_up(g.height.in, rows);
  const int64_t items = planes * row_blocks;

  const TapFinder vertical(g.height);
  const TapFinder horizontal(g.width);
  NchwStrip<T> common{};
  common.multiplier = g.multiplier;
  common.out_plane = g.height.out * g.width.out;
  common.out_width = g.width.out;
  common.vertical_filter =
      std::min(vertical.tap_step(), g.height.filter) * g.width.filter * g.out_channels();
  common.vertical_out = std::min(vertical.out_step(), g.height.out) * g.width.out;
  common.horizontal_filter = std::min(horizontal.tap_step(), g.width.filter) * g.out_channels();
  common.horizontal_out = horizontal.out_step();
  common.stride = g.width.stride;

  parallel_for(items, cycles_of_item<T>(g, items), [&](int64_t begin, int64_t end) {
    const ScopedIeeeDenormals ieee;
    NchwStrip<T> strip = common;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row_block = item % row_blocks;
      const int64_t plane = item / row_blocks;  // b * channels + c
      const AccumulatorOf<T>* filter = arguments.filter + plane % g.channels * g.multiplier;
      strip.out_backprop = arguments.out_backprop + plane * g.multiplier * strip.out_plane;
      const int64_t last_row = std::min(g.height.in, (row_block + 1) * rows);
      for (int64_t y = row_block * rows; y < last_row; ++y) {
        strip.vertical = vertical.at(y);
        strip.filter = filter + strip.vertical.tap * g.width.filter * g.out_channels();
        nchw_row(g, horizontal, strip,
                 arguments.input_grad + (plane * g.height.in + y) * g.width.in);
      }
    }
  });
}

}  // namespace

template <typename T>
int64_t input_grad_workspace_bytes(const Geometry& geometry) {
  // 16-bit filters are widened once a call; wider ones are used where they are.
  if constexpr (std::is_same_v<T, AccumulatorOf<T>>) return 0;
  return geometry.filter_elements() * sizeof(AccumulatorOf<T>);
}

template <typename T>
void input_grad(const Geometry& geometry, const T* filter, const T* out_backprop, T* input_grad,
                void* workspace, const ParallelFor& parallel_for) {
  if (geometry.input_elements() == 0) return;
  if (geometry.output_elements() == 0) {
    std::memset(input_grad, 0, geometry.input_elements() * sizeof(T));
    return;
  }
  const AccumulatorOf<T>* wide_filter;
  if constexpr (std::is_same_v<T, AccumulatorOf<T>>) {
    wide_filter = filter;
  } else {
    auto* widened = static_cast<AccumulatorOf<T>*>(workspace);
    kernels<T>().widen(filter, widened, geometry.filter_elements());
    wide_filter = widened;
  }
  const Arguments<T> arguments{geometry, wide_filter, out_backprop, input_grad};
  if (geometry.layout == conv::Layout::kNHWC) {
    nhwc(arguments, parallel_for);
  } else {
    nchw(arguments, parallel_for);
  }
}

#define TF_DWBP_INSTANTIATE(T)                                     \
  template int64_t input_grad_workspace_bytes<T>(const Geometry&); \
  template void input_grad<T>(const Geometry&, const T*, const T*, T*, void*, const ParallelFor&)
TF_DWBP_INSTANTIATE(Half);
TF_DWBP_INSTANTIATE(Bfloat16);
TF_DWBP_INSTANTIATE(float);
TF_DWBP_INSTANTIATE(double);
#undef TF_DWBP_INSTANTIATE

}  // namespace tf_dwbp::cpu
