// The inner loops of the input gradient. This file is compiled once for each instruction set,
// so it takes no Eigen, no standard templates, nothing that would be shared between targets.
//
// Both kernels gather: each element of the result is summed in registers or in L1 from all the
// taps that reach it, and written once.

#include "cc/cpu/input_grad_kernels.h"

#include "cc/cpu/simd.h"

#if !defined(TF_DWBP_CPU_TARGET)
#error "Compile with -DTF_DWBP_CPU_TARGET=<a name from CPU_TARGETS in cc/sources.bzl>"
#endif

namespace tf_dwbp::cpu {
namespace {

// --- NHWC: channels run innermost, in memory and here. -----------------------------------------

// Where the taps of one pixel begin.
template <typename T>
struct Window {
  const AccumulatorOf<T>* filter;
  const T* out_backprop;
  int64_t vertical;
  int64_t horizontal;
};

// Sums `kVectors` vectors of channels over the window's taps. L is Lanes, or OneLane for channels
// that do not fill a vector.
template <template <typename> class L, int kVectors, typename T, typename V>
inline void sum_taps(const NhwcRow<T>& row, const Window<T>& window, int64_t channel, V* sums) {
  constexpr int kLanes = L<T>::kCount;
  using Acc = AccumulatorOf<T>;
  for (int v = 0; v < kVectors; ++v) sums[v] = V{};
  const Acc* filter_row = window.filter + channel;
  const T* out_row = window.out_backprop + channel;
  for (int64_t y = 0; y < window.vertical; ++y) {
    const Acc* filter = filter_row;
    const T* out = out_row;
    for (int64_t x = 0; x < window.horizontal; ++x) {
      for (int v = 0; v < kVectors; ++v) {
        sums[v] += L<Acc>::load(filter + v * kLanes) * L<T>::load(out + v * kLanes);
      }
      filter += row.horizontal_filter;
      out -= row.horizontal_out;
    }
    filter_row += row.vertical_filter;
    out_row -= row.vertical_out;
  }
}

// The same, stored as To.
template <template <typename> class L, int kVectors, typename To, typename T>
inline void store_sums(const NhwcRow<T>& row, const Window<T>& window, int64_t channel, To* to) {
  typename L<T>::Vector sums[kVectors];
  sum_taps<L, kVectors>(row, window, channel, sums);
  for (int v = 0; v < kVectors; ++v) L<To>::store(to + v * L<T>::kCount, sums[v]);
}

// Sums output channels [begin, end) of a window into to[0 ... end - begin), rounding to To.
template <typename To, typename T>
inline void sum_channels(const NhwcRow<T>& row, const Window<T>& window, int64_t begin, int64_t end,
                         To* to) {
  constexpr int kLanes = Lanes<T>::kCount;
  // Eight sums at once hide the latency of multiply-add and spread the cost of stepping from tap
  // to tap; with the loads they fit into sixteen registers.
  constexpr int kMany = 8;
  constexpr int kFew = 2;
  int64_t channel = begin;
  for (; channel + kMany * kLanes <= end; channel += kMany * kLanes) {
    store_sums<Lanes, kMany>(row, window, channel, to + channel - begin);
  }
  for (; channel + kFew * kLanes <= end; channel += kFew * kLanes) {
    store_sums<Lanes, kFew>(row, window, channel, to + channel - begin);
  }
  for (; channel + kLanes <= end; channel += kLanes) {
    store_sums<Lanes, 1>(row, window, channel, to + channel - begin);
  }
  if (channel < end && end - begin >= kLanes) {
    // One last vector that overlaps the one before; both write the same there.
    store_sums<Lanes, 1>(row, window, end - kLanes, to + end - kLanes - begin);
    return;
  }
  for (; channel < end; ++channel) {
    store_sums<OneLane, 1>(row, window, channel, to + channel - begin);
  }
}

// With a depth multiplier, products are summed in the space of output channels, and then those
// of each input channel among themselves.
template <typename T>
inline void sum_multiplied(const NhwcRow<T>& row, const Window<T>& window, T* pixel) {
  using Acc = AccumulatorOf<T>;
  constexpr int64_t kBuffer = 512;
  Acc buffer[kBuffer];
  const int64_t whole = kBuffer / row.multiplier;  // channels whose sums fit
  if (whole > 0) {
    for (int64_t c = row.first_channel; c < row.last_channel; c += whole) {
      const int64_t end = c + whole < row.last_channel ? c + whole : row.last_channel;
      sum_channels(row, window, c * row.multiplier, end * row.multiplier, buffer);
      const Acc* from = buffer;
      for (int64_t channel = c; channel < end; ++channel) {
        Acc sum = 0;
        for (int64_t m = 0; m < row.multiplier; ++m) sum += *from++;
        pixel[channel] = Lanes<T>::narrow(sum);
      }
    }
    return;
  }
  for (int64_t c = row.first_channel; c < row.last_channel; ++c) {
    Acc sum = 0;
    const int64_t last = (c + 1) * row.multiplier;
    for (int64_t begin = c * row.multiplier; begin < last; begin += kBuffer) {
      const int64_t end = begin + kBuffer < last ? begin + kBuffer : last;
      sum_channels(row, window, begin, end, buffer);
      for (int64_t i = 0; i < end - begin; ++i) sum += buffer[i];
    }
    pixel[c] = Lanes<T>::narrow(sum);
  }
}

template <typename T>
void nhwc_row(const NhwcRow<T>& row) {
  const int64_t out_channels = row.channels * row.multiplier;
  const AccumulatorOf<T>* filter_row = row.filter + row.vertical.tap * row.filter_row;
  const T* out_row = row.out_backprop + row.vertical.out * row.out_row;
  T* pixel = row.input_grad;
  for (int64_t x = 0; x < row.pixels; ++x, pixel += row.channels) {
    const conv::TapRange& taps = row.horizontal[x];
    const Window<T> window{filter_row + taps.tap * out_channels, out_row + taps.out * out_channels,
                           row.vertical.count, taps.count};
    if (row.multiplier == 1) {
      sum_channels(row, window, row.first_channel, row.last_channel, pixel + row.first_channel);
    } else {
      sum_multiplied(row, window, pixel);
    }
  }
}

// --- NCHW: columns run innermost, in memory and here. ------------------------------------------

// sums[i] += factor * from[i]
template <typename T>
inline void add_scaled(const T* from, AccumulatorOf<T> factor, int64_t n, AccumulatorOf<T>* sums) {
  using Acc = Lanes<AccumulatorOf<T>>;
  constexpr int kLanes = Lanes<T>::kCount;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Acc::store(sums + i, Acc::load(sums + i) + factor * Lanes<T>::load(from + i));
  }
  for (; i < n; ++i) sums[i] += factor * Lanes<T>::widen(from[i]);
}

template <typename T>
void nchw_strip(const NchwStrip<T>& strip) {
  using Acc = AccumulatorOf<T>;
  Acc sums[kMaxStrip];
  for (int64_t i = 0; i < strip.elements; ++i) sums[i] = 0;

  for (int64_t m = 0; m < strip.multiplier; ++m) {
    const Acc* filter_row = strip.filter + m + strip.first_filter;
    const T* out_row =
        strip.out_backprop + m * strip.out_plane + strip.vertical.out * strip.out_width;
    for (int64_t y = 0; y < strip.vertical.count; ++y) {
      const Acc* filter = filter_row;
      int64_t out = strip.first_out;
      for (int64_t x = 0; x < strip.horizontal_taps; ++x) {
        const int64_t begin = out < 0 ? -out : 0;
        const int64_t room = strip.out_width - out;
        const int64_t end = strip.elements < room ? strip.elements : room;
        if (begin < end) add_scaled(out_row + out + begin, *filter, end - begin, sums + begin);
        filter += strip.horizontal_filter;
        out -= strip.horizontal_out;
      }
      filter_row += strip.vertical_filter;
      out_row -= strip.vertical_out;
    }
  }

  int64_t i = 0;
  if (strip.stride == 1) {
    constexpr int kLanes = Lanes<T>::kCount;
    for (; i + kLanes <= strip.elements; i += kLanes) {
      Lanes<T>::store(strip.input_grad + i, Lanes<Acc>::load(sums + i));
    }
  }
  for (; i < strip.elements; ++i) strip.input_grad[i * strip.stride] = Lanes<T>::narrow(sums[i]);
}

template <typename T>
void widen(const T* from, AccumulatorOf<T>* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = Lanes<T>::widen(from[i]);
}

}  // namespace

// One struct with the tables of all types: the only symbol that this file gives to the linker.
#define TF_DWBP_CONCAT_(a, b) a##b
#define TF_DWBP_CONCAT(a, b) TF_DWBP_CONCAT_(a, b)
extern const InputGradTables TF_DWBP_CONCAT(kInputGradTables_, TF_DWBP_CPU_TARGET) = {
    {nhwc_row<Half>, nchw_strip<Half>, widen<Half>},
    {nhwc_row<Bfloat16>, nchw_strip<Bfloat16>, widen<Bfloat16>},
    {nhwc_row<float>, nchw_strip<float>, widen<float>},
    {nhwc_row<double>, nchw_strip<double>, widen<double>},
};

}  // namespace tf_dwbp::cpu
