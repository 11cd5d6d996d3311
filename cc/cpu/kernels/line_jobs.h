// What the drivers and the micro-kernels of lines say to each other, as in jobs.h.
#pragma once

#include <cstdint>

#include "cc/cpu/kernels/jobs.h"

namespace tf_dwbp::cpu {

// Lines: rows of a result as they lie in memory, one vector of elements after the other, whatever
// their channels. Such a vector gathers, through each horizontal tap, from a vector of the source
// that is as adjacent, if the source's columns are split into *strands*, of those that are a
// multiple of the stride apart.

// A horizontal tap: its number, and what the first element of a line meets through it, from the
// first of the first strand, in elements.
struct LineTap {
  int64_t tap;
  int64_t source;
};

// Rows of the result that are computed together; and vertical taps that are taken at a time where
// the source's rows that neighbours meet are 1 or 2 steps apart.
constexpr int kLinesOfTile = 8;
constexpr int kMostLineShift = 2;
constexpr int kMostLineTaps[kMostLineShift] = {7, 3};
constexpr int line_sources(int shift, int taps) { return (kLinesOfTile - 1) * shift + taps; }
constexpr int kMostLineSources = line_sources(2, kMostLineTaps[1]);
static_assert(kMostLineSources >= line_sources(1, kMostLineTaps[0]), "room for either");

// What kLinesOfTile lines of a result gather, or the first few. Row r meets the e-th of `sources`
// through the vertical tap r * shift + taps - 1 - e.
template <typename Acc>
struct LineGather {
  const Acc* source;
  int64_t sources[kMostLineSources];  // from `source` to column 0 of their first strands
  uint32_t present;                   // bit e: whether the e-th takes part
  const LineTap* taps;
  int64_t tap_count;
  int64_t rows;

  // Vectors of a line. Of those from `whole` to `whole_end` all lanes gather from inside through
  // all taps; others have a mask for each tap: bit l tells whether lane l does.
  int64_t vectors;
  int64_t whole;
  int64_t whole_end;
  const uint16_t* masks;
};

// Computes these lines. All of kLinesOfTile are computed, LineGather::rows are written.
template <typename Acc>
struct LinesJob {
  LineGather<Acc> gather;
  const Acc* filter;
  int64_t filter_row_stride;     // from a vertical tap to the next
  int64_t filter_column_stride;  // from a horizontal tap to the next
  int64_t filter_vector_stride;  // from a vector of the line to the next, and ...
  int64_t filter_vectors;        // ... after so many the first again

  const Acc* begun;  // sums so far, in whole vectors; nullptr: none
  int64_t begun_row_stride;
  const EpilogueJob<Acc>*
      epilogue;  // nullptr: none. Its bias has a vector for each of the filter's

  void* result;
  Dtype dtype;  // of the result
  int64_t result_row_stride;
  int64_t elements;  // of a line
  // What the last vectors of these rows have beyond their elements is written as well: that is
  // where later rows begin.
  int64_t open_rows;
};

// Horizontal taps that the filter gradient sums at a time.
constexpr int kMostLineColumns = 3;

// Adds what these lines gather, times out_backprop, to sums of the filter's gradient: for one set
// of vertical taps, and kMostLineColumns horizontal ones or fewer.
//
// Sums of a tap are `sum_vectors` vectors: the lines' elements are added to each of their lanes in
// turn, so that all that come to a lane are of one channel.
template <typename Acc>
struct FilterGradLinesJob {
  LineGather<Acc> gather;  // its result is out_backprop
  int64_t first_tap;       // of gather.taps
  const Acc* out;          // out_backprop, column 0 of the first row
  int64_t out_row_stride;
  int64_t begin;  // vectors of the lines, from a multiple of `sum_vectors` on
  int64_t end;
  int64_t sum_vectors;
  Acc* sums;                  // of the first vertical tap
  int64_t sum_row_stride;     // from a vertical tap to the next
  int64_t sum_column_stride;  // from a horizontal tap to the next
};

// Adds up the lanes of each channel, and adds these sums to those of a whole filter, in which
// element i lies as lane i % kLanes of vector i / kLanes, each followed by what rounding took.
template <typename Acc>
struct FoldLinesJob {
  Acc* sums;  // [tap][lane]; zeros afterwards
  int64_t taps;
  int64_t lanes;  // `channels` times a power of 2: of channel lane % channels each
  int64_t channels;
  Acc* to;
  int64_t first;       // element: that of the first tap and channel
  int64_t tap_stride;  // from a tap to the next, in elements
};

// Rows of a line's elements that are copied to, or from, slots of a ring.
template <typename From, typename To>
struct LineRows {
  const From* from;
  int64_t from_stride;  // from a row to the next
  int64_t readable;     // elements, of all rows
  To* to;
  int64_t to_stride;
  int64_t first_slot;  // of the first row
  int64_t slots;       // `to` has so many: after the last, the first again
  int64_t rows;
  int64_t elements;  // of a row
  int64_t writable;  // so many may be written
};

// Where the lanes of a vector come from: the element `first` of a row and those that follow it, and
// `second`. Lane l is the index[l]-th of the two vectors that begin there; if not `near`, the
// element first + index[l].
constexpr int kWidestVectorLanes = 16;
struct SpreadVector {
  int64_t first;
  int64_t second;
  bool near;
  int32_t index[kWidestVectorLanes];
};

// Collects a line's elements in a pattern that repeats itself.
template <typename From, typename To>
struct SpreadJob {
  LineRows<From, To> rows;
  const SpreadVector* pattern;
  int64_t pattern_vectors;
  int64_t advance;  // from a repetition of the pattern to the next
};

}  // namespace tf_dwbp::cpu
