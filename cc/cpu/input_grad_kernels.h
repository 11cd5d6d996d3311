// What the driver (input_grad.cc) and the inner loops (input_grad_kernels.cc, compiled once for
// each instruction set) say to each other: plain structs of pointers and steps, in elements.
#pragma once

#include <cstdint>

#include "cc/conv/taps.h"
#include "cc/cpu/element.h"

namespace tf_dwbp::cpu {

// A run of pixels in one row of an NHWC input gradient, over a range of channels.
template <typename T>
struct NhwcRow {
  const AccumulatorOf<T>* filter;  // [ky, kx, channels * multiplier]
  const T* out_backprop;           // image of the batch
  T* input_grad;                   // first pixel, channel 0

  int64_t channels;
  int64_t multiplier;
  int64_t first_channel;
  int64_t last_channel;  // exclusive

  conv::TapRange vertical;           // taps that reach this row
  const conv::TapRange* horizontal;  // taps that reach each pixel
  int64_t pixels;

  int64_t filter_row;         // from a ky to the next row of the filter
  int64_t out_row;            // from an oy to the next row of out_backprop
  int64_t vertical_filter;    // from a vertical tap to the next, in filter ...
  int64_t vertical_out;       // ... and, backwards, in out_backprop
  int64_t horizontal_filter;  // likewise for the horizontal taps
  int64_t horizontal_out;
};

// Every `stride`-th element of one row of a plane of an NCHW input gradient: those that share
// their horizontal taps, apart from the borders.
template <typename T>
struct NchwStrip {
  const AccumulatorOf<T>* filter;  // of this channel at tap (0, 0), multiplier index 0
  const T* out_backprop;           // first plane of this channel
  T* input_grad;                   // first element

  int64_t multiplier;
  int64_t out_plane;  // from a plane of out_backprop to the next
  int64_t out_width;

  conv::TapRange vertical;
  int64_t vertical_filter;
  int64_t vertical_out;

  // The first horizontal tap meets the first element at output column `first_out`, which may
  // lie outside; the next element meets the next column.
  int64_t horizontal_taps;
  int64_t first_filter;
  int64_t first_out;
  int64_t horizontal_filter;
  int64_t horizontal_out;

  int64_t elements;  // at most kMaxStrip
  int64_t stride;
};

// The accumulators of a strip live in L1 beside the rows that they read.
constexpr int64_t kMaxStrip = 1024;

// The inner loops for one element type, compiled for one instruction set.
template <typename T>
struct InputGradKernels {
  void (*nhwc_row)(const NhwcRow<T>&);
  void (*nchw_strip)(const NchwStrip<T>&);
  // Converts n elements exactly.
  void (*widen)(const T* from, AccumulatorOf<T>* to, int64_t n);
};

struct InputGradTables {
  InputGradKernels<Half> half_;
  InputGradKernels<Bfloat16> bfloat16_;
  InputGradKernels<float> float_;
  InputGradKernels<double> double_;
};

extern const InputGradTables kInputGradTables_baseline;
#if defined(TF_DWBP_HAVE_AVX2)
extern const InputGradTables kInputGradTables_avx2;
#endif

}  // namespace tf_dwbp::cpu
