// The one list of what kernels are compiled for: dispatch, the tests' proof that each was run, and
// the test of the README's table read it.
//
// All is in terms of *windows*. Along an axis, result position j and source position s, counted
// from a tile's corner, meet at tap result_step * j + taps - 1 - source_step * s, if that is one:
//   dense                      (1, 1): forward and input gradient of stride 1, any dilation
//   forward of stride 2        (2, 1)
//   input gradient of stride 2 (1, 2): the parities of j are classes of their own; as j and s are
//     constants of unrolled loops, so is the tap, and nothing is tested for divisibility
// Whatever fits no line is the general kernels': right for every call, but slower.
#pragma once

#include "cc/conv/attributes.h"

namespace tf_dwbp::gpu {

struct Configuration {
  int taps;  // of both axes
  int result_step;
  int source_step;
};

inline constexpr Configuration kGatherConfigurations[] = {
    {3, 1, 1}, {3, 2, 1}, {3, 1, 2},  //
    {5, 1, 1}, {5, 2, 1}, {5, 1, 2},  //
    {7, 1, 1}, {7, 2, 1}, {7, 1, 2},
};

// Of the filter gradient: the result is out_backprop, the source is the input.
inline constexpr Configuration kFilterGradConfigurations[] = {
    {3, 1, 1}, {3, 2, 1}, {5, 1, 1}, {5, 2, 1}, {7, 1, 1}, {7, 2, 1},
};

constexpr bool same(const Configuration& a, const Configuration& b) {
  return a.taps == b.taps && a.result_step == b.result_step && a.source_step == b.source_step;
}

// The source positions that `results` consecutive result positions meet.
constexpr int extent(const Configuration& c, int results) {
  return (c.result_step * (results - 1) + c.taps - 1) / c.source_step + 1;
}

// A thread's share: rows and columns of the result, and channels.
struct ThreadTile {
  int rows;
  int columns;
  int channels;
};

// The channels of one 32-bit word: neighbouring threads then read neighbouring banks.
constexpr int word_channels(int element_bytes) { return element_bytes < 4 ? 4 / element_bytes : 1; }

// Sums, filter and a row of the window have to fit into the registers of a thread, and a tile of
// some 30 positions takes about as long to load from shared memory as to multiply.
//   NHWC: neighbouring threads are neighbouring channels. Seven columns divide the images of
//   today's networks (7, 14, 28, ...), and being odd keep two tiles in a warp off each other's
//   banks.
//   NCHW: neighbouring threads are neighbouring columns, a word each.
constexpr ThreadTile gather_tile(const Configuration& c, conv::Layout layout, int element_bytes) {
  const int word = word_channels(element_bytes);
  if (layout == conv::Layout::kNHWC) {
    if (c.source_step == 2) return {4, 8, word};
    return {c.taps == 3 && c.result_step == 1 ? 4 : 2, 7, word};
  }
  if (c.source_step == 2) return {8, 2, 1};
  return {c.result_step == 2 ? 4 : 8, word, 1};
}

// The sums are the filter's taps here.
constexpr ThreadTile filter_grad_tile(conv::Layout layout, int element_bytes) {
  const int word = word_channels(element_bytes);
  if (layout == conv::Layout::kNHWC) return {1, 7, word};
  return {8 / word, word, 1};
}

}  // namespace tf_dwbp::gpu
