// What the drivers and the inner loops (kernels.cc, compiled once for each instruction set) say
// to each other: plain structs of pointers and of steps, which count elements.
//
// The loops work on *windows*: copies of a part of a tensor as sums want it. Whatever the
// layout, the type and the depth multiplier of the tensor, a window is
//     [group][m][row][column][lane]
// in the accumulator's type. A lane is one channel of one image; a group is a vector of them. So
// one loop serves every call, with aligned loads at steps that the compiler knows.
//
// What lies outside a tensor takes no part in any loop, not as a product with zero either: that
// would make NaN of an Inf in the filter, and change the sign of a sum that is -0.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/cpu/element.h"

namespace tf_dwbp::cpu {

// Where the lanes of groups lie in a tensor. Lane l of a group is channel l % channels of image
// l / channels; those from images * channels up are idle. Groups follow each other, `lanes`
// channels apart, but for the last: it begins `last` channels after the first, which lets it
// overlap the one before.
//
// A tensor that is read may have fewer channels: each stands for `repeat` of the window's. Of the
// first, `phase` have gone by before the first lane.
struct LaneMap {
  int64_t groups;
  int64_t last;
  int64_t images;
  int64_t image_step;
  int64_t channels;
  int64_t channel_step;
  int64_t repeat = 1;
  int64_t phase = 0;
};

// Copies rows of a tensor into a window, or out of one.
template <typename T>
struct CopyJob {
  T* tensor;
  AccumulatorOf<T>* window;
  LaneMap lanes;

  int64_t multiplier;  // into windows only
  int64_t rows;
  int64_t columns;
  int64_t multiplier_step;
  int64_t row_step;
  int64_t column_step;

  // In a window, columns are a vector apart. Rows are a ring.
  int64_t window_group;
  int64_t window_multiplier;
  int64_t window_row;
  int64_t first_slot;  // of the ring, for the first row
  int64_t slots;
};

// Taps that one row of the result gathers from, vertically, and the slot of the ring that holds
// the first one's row.
struct SumRow {
  conv::TapRange taps;
  int64_t slot;
};

// Columns of the result, a class step apart, and the taps that reach any of them. Where one reaches
// beyond the source, each tap has a mask, SumJob::masks[first_mask + i] for the i-th: bit x tells
// whether column x gathers from inside.
struct SumTile {
  int64_t column;
  conv::TapRange taps;
  int64_t first_mask = -1;  // none: all are inside
};

// Sums tiles of a result of type T from a window.
template <typename T>
struct SumJob {
  const AccumulatorOf<T>* window;  // as in CopyJob
  const AccumulatorOf<T>* filter;  // a window on the filter: its columns are the horizontal taps
  T* result;                       // first row, column 0, first group
  bool accumulate;  // adds to the result, which then has to be of the accumulator's type

  int64_t groups;
  int64_t multiplier;
  const SumRow* rows;
  int64_t row_count;
  const SumTile* tiles;
  int64_t tile_count;
  const uint32_t* masks;

  int64_t window_group;
  int64_t window_multiplier;
  int64_t window_row;
  int64_t slots;
  int64_t filter_group;
  int64_t filter_multiplier;
  int64_t filter_row;
  int64_t result_group;
  int64_t result_last;  // from the first group to the last
  int64_t result_row;
  int64_t result_column;   // from a column of the result to the next ...
  int64_t column_of_tile;  // ... and from one of a tile to the next
  int64_t window_of_tile;  // the same in the window

  // From a tap to the next: grows in the filter, falls in the window.
  int64_t vertical_tap;
  int64_t vertical_slot;
  int64_t horizontal_tap;
  int64_t horizontal_column;
};

// What DirectJobs may have: horizontal taps, columns of a tile or pairs of them, either way so many
// columns of the result, and steps between what the columns of a tile gather from.
constexpr int kMostDirectTaps = 7;
constexpr int kMostDirectColumns = 7;
constexpr int kMostDirectPairs = 4;
constexpr int kMostDirectResults =
    kMostDirectColumns > 2 * kMostDirectPairs ? kMostDirectColumns : 2 * kMostDirectPairs;
constexpr int kMostDirectShift = 2;
constexpr int kStageGroups = 8;

// Two rows of the result that gather from the same rows of the source, a few steps apart, or one
// row alone.
template <typename T>
struct DirectRows {
  const T* source;      // column 0 of the last row that either gathers from
  int64_t source_step;  // back to the next one
  int64_t count;        // of such rows
  int64_t taps_step;    // from a row's taps in the filter to the next row's

  // For each row of the result:
  T* result[2];  // its column 0, or nullptr
  int64_t taps[2];
  int64_t begin[2];  // the rows of the source that it gathers from
  int64_t end[2];
};

// Columns of the result, a period apart, or, in direct_pairs, neighbours of which each second one
// takes the filter's odd taps.
struct DirectTile {
  int64_t result;   // the first column, and ...
  int64_t source;   // ... the first column of the source that it needs, in elements
  uint32_t inside;  // bit i: whether the i-th column that it needs is inside
  uint32_t write;   // bit i: whether the i-th column of the result is to be written
};

// Sums tiles of two rows from the source itself.
template <typename T>
struct DirectJob {
  const AccumulatorOf<T>* filter;  // packed; the first horizontal tap
  int64_t filter_group;
  int64_t filter_column;

  int64_t groups;
  int64_t last;  // from the first group to the last, in elements
  DirectRows<T> rows;
  const DirectTile* tiles;
  int64_t tile_count;
  int64_t source_column;  // from a column that the tile needs to the next
  int64_t result_column;  // from a column of the tile to the next

  // Where rows of each tensor begin that will be needed later. They are asked for little by little,
  // as many bytes at a time as a row of the tile has, of the source times the shift; nullptr:
  // nothing is.
  const char* next_source[2 * kMostDirectShift];
  const char* next_result[2];

  bool downwards;  // groups, from the last to the first; not with a stage

  // If not nullptr, results take the way over this buffer, which holds kStageGroups groups of a
  // tile, so that they are written in longer pieces.
  T* stage;
  int64_t stage_column;  // from a column of the tile to the next
  // Past the caches; then results are made of whole, aligned vectors.
  bool stream;
};

// A row of out_backprop, and the rows of the input that it meets through a few vertical taps that
// follow each other.
constexpr int kMostFilterRows = 7;
struct FilterRow {
  int64_t out;
  int64_t source[kMostFilterRows];  // for each tap; from the job's source, in elements, as all
  uint32_t inside;                  // bit r: whether the r-th is inside the input
};

// Columns of out_backprop: KernelTable::filter_columns of them if `wide`, else one; and those of
// the input that they meet through a few horizontal taps.
struct FilterTile {
  int64_t out;
  int64_t source;   // the first column
  uint32_t inside;  // bit j: whether the j-th column is inside the input
  bool wide;
};

// Sums of the filter's gradient, for one group of lanes and a few taps. Wherever sums are kept,
// they are [group][vertical tap][horizontal tap][2][lane]: the sum, and what rounding took from it.
template <typename T>
struct FilterSumJob {
  const T* out;
  const T* source;
  const FilterRow* rows;
  int64_t row_count;
  const FilterTile* tiles;
  int64_t tile_count;
  int64_t out_column;     // from a column of a tile to the next
  int64_t source_column;  // from a column that the tile meets to the next

  // What later visits need is asked for little by little: so many lines of 64 bytes for each tile
  // of each row.
  const char* next_out;
  const char* next_source;
  int64_t out_lines;
  int64_t source_lines;

  AccumulatorOf<T>* sums;  // those of the first tap, to be added to
  int64_t sum_row;         // from a vertical tap to the next
  int64_t sum_rows;        // vertical taps
};

// Adds sums of several images, which share vectors, to those of all.
template <typename Acc>
struct FilterFoldJob {
  const Acc* from;
  Acc* to;
  int64_t count;     // of pairs of vectors
  int64_t images;    // lane image * channels + c goes to ...
  int64_t channels;  // ... lane c
};

// Adds the sums of parts, and writes a filter.
template <typename T>
struct FilterFinishJob {
  const AccumulatorOf<T>* sums;
  int64_t parts;
  int64_t sum_part;  // from a part to the next
  int64_t groups;
  int64_t sum_group;
  int64_t taps;
  T* result;
  int64_t last;  // from the first group to the last, in the result
  int64_t result_tap;
  int64_t channels;  // lanes of a group that are in use: the first
};

// Columns of a tile at most: their sums fill the registers of every instruction set, and 14 is
// half, a quarter, ... of the widths that models have.
constexpr int kMaxTile = 14;

// The inner loops for one element type, compiled for one instruction set.
template <typename T>
struct Kernels {
  void (*load)(const CopyJob<const T>&);
  void (*store)(const CopyJob<T>&);
  // For tiles of 1, 2, ... columns, in general and those that are adjacent in the window.
  void (*sum[2][kMaxTile])(const SumJob<T>&);
  // For shifts of 1 and 2, 1, 2, ... taps, and tiles of 1, 2, ... columns. nullptr where no model
  // needs one.
  void (*direct[kMostDirectShift][kMostDirectTaps][kMostDirectColumns])(const DirectJob<T>&);
  // For a filter of 1, 2, ... columns, and tiles of 1, 2, ... pairs.
  void (*direct_pairs[kMostDirectTaps][kMostDirectPairs])(const DirectJob<T>&);
  // For shifts of 1 and 2, and 1, 2, ... horizontal taps; nullptr as above.
  void (*filter_sum[kMostDirectShift][kMostDirectTaps])(const FilterSumJob<T>&);
  void (*filter_fold)(const FilterFoldJob<AccumulatorOf<T>>&);
  void (*filter_finish)(const FilterFinishJob<T>&);
};

struct KernelTable {
  int vector_bytes;
  int direct_columns[kMostDirectShift];  // of a tile at most: as many as the registers hold
  int direct_pairs;                      // of columns of a tile at most
  int filter_columns;                    // of a wide FilterTile
  int filter_rows[kMostDirectTaps];      // vertical taps at most, for 1, 2, ... horizontal ones
  Kernels<Half> half_;
  Kernels<Bfloat16> bfloat16_;
  Kernels<float> float_;
  Kernels<double> double_;
};

extern const KernelTable kKernels_baseline;
#if defined(TF_DWBP_HAVE_AVX2)
extern const KernelTable kKernels_avx2;
#endif
#if defined(TF_DWBP_HAVE_AVX512)
extern const KernelTable kKernels_avx512;
#endif

}  // namespace tf_dwbp::cpu
