// The one list of what kernels are compiled for: dispatch, the tests' proof that each was run, and
// the test of the README's table read it.
//
// All is in terms of *windows* of a source that slide over a result. Along an axis, result position
// j and source position s, counted from a tile's corner, meet at tap
// result_step * j + taps - 1 - source_step * s, if that is one:
//   dense                      (1, 1): forward and input gradient of stride 1, any dilation
//   forward of stride 2        (2, 1)
//   input gradient of stride 2 (1, 2): the parities of j have taps of their own; as j and s are
//     constants of unrolled loops, so is the tap, and nothing is tested for divisibility
// Whatever fits no line is the general kernels': right for every call, but slower.
#pragma once

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

// Neighbours of the result have neighbours of the source.
constexpr bool is_dense(const Configuration& c) {
  return c.result_step == 1 && c.source_step == 1;
}

// Taps before the middle one, and the elements, a power of two, that are read where they meet.
constexpr int lead(const Configuration& c) { return (c.taps - 1) / 2; }
constexpr int side(const Configuration& c) {
  int elements = 1;
  while (elements < lead(c)) elements *= 2;
  return elements;
}

// NCHW: how far behind the start of a staged row, which is a vector's, its first position is. Where
// windows are dense, the middle tap of the first one is at a vector. At most, where they are not.
constexpr int staged_offset(const Configuration& c, int vector) {
  return is_dense(c) ? -lead(c) & (vector - 1) : vector - 1;
}

// NCHW: the elements of a staged row that is to hold so many positions.
constexpr int staged_columns(const Configuration& c, int positions, int vector) {
  return staged_offset(c, vector) + positions + (is_dense(c) ? side(c) - lead(c) : 0);
}

// The source positions that `results` consecutive result positions meet.
constexpr int extent(const Configuration& c, int results) {
  return (c.result_step * (results - 1) + c.taps - 1) / c.source_step + 1;
}

}  // namespace tf_dwbp::gpu
