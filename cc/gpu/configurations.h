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

// NCHW: whether a thread's windows are read by vectors. Those of as many columns as a vector has
// meet `lead` positions, result_step vectors, and a tail. There are result_step possible leads,
// from least_lead() on, since a window's start has either parity; those of SAME padding are among
// them.
constexpr bool reads_vectors(const Configuration& c) { return c.source_step == 1; }
constexpr int least_lead(const Configuration& c) { return (c.taps - 1) / 2 - (c.result_step - 1); }
constexpr int tail(const Configuration& c, int lead) { return c.taps - c.result_step - lead; }

// The elements that are read at once where so many are met, beside a vector.
constexpr int read_for(int elements) {
  int read = elements > 0 ? 1 : 0;
  while (read < elements) read *= 2;
  return read;
}
// Those read besides, before and after.
constexpr int beside_lead(int lead) { return read_for(lead) - lead; }
constexpr int beside_tail(const Configuration& c, int lead) {
  return read_for(tail(c, lead)) - tail(c, lead);
}

// NCHW: how far behind the start of a staged row, which is a vector's, its first position is: the
// first vector of the first window is at a vector.
constexpr int staged_offset(int lead, int vector) { return -lead & (vector - 1); }

// NCHW: the elements of a staged row that is to hold so many positions, at most.
constexpr int staged_columns(const Configuration& c, int positions, int vector) {
  if (!reads_vectors(c)) return vector - 1 + positions;
  int most = 0;
  for (int lead = least_lead(c); lead < least_lead(c) + c.result_step; ++lead) {
    const int columns = staged_offset(lead, vector) + positions + beside_tail(c, lead);
    most = columns > most ? columns : most;
  }
  return most;
}

// The source positions that `results` consecutive result positions meet.
constexpr int extent(const Configuration& c, int results) {
  return (c.result_step * (results - 1) + c.taps - 1) / c.source_step + 1;
}

}  // namespace tf_dwbp::gpu
