// What the drivers and the micro-kernels (kernels.cc, compiled once for each instruction set) say
// to each other: plain structs of pointers and strides, which count elements.
//
// Some micro-kernels read the tensors themselves; some read *packed tiles*: copies of a part of a
// tensor as the kernels want it. Whatever the layout, the type and the depth multiplier of the
// tensor, a packed tile is
//
//   channel block 0                                  channel block 1    ...
//   m 0                              m 1       ...   m 0      ...
//   row 0             row 1    ...   row 0 ...
//   column 0 column 1 ...
//   |c0 c1 c2 ... |c0 c1 c2 ... |              one vector of lanes for each column
//
// in the accumulator's type. A lane is one channel of one image; a channel block is a vector of
// them. So one loop serves every call, with aligned loads at strides that the compiler knows.
//
// What lies outside a tensor takes no part in any loop, not as a product with zero either: that
// would make NaN of an Inf in the filter, and change the sign of a sum that is -0.
#pragma once

#include <cstdint>

#include "cc/conv/activation.h"
#include "cc/conv/dtype.h"
#include "cc/conv/gather.h"

namespace tf_dwbp::cpu {

// Where the lanes of channel blocks lie in a tensor. Lane l of a block is channel l % channels of
// image l / channels; those from images * channels up are idle. Blocks follow each other, as many
// channels apart as a vector has lanes, but for the last: it begins `last_block` channels after
// the first block, which lets it overlap the one before.
//
// A tensor that is read may have fewer channels: each stands for `repeat` of the packed tile's. Of
// the first one's repetitions, `skipped_repeats` come before the first lane.
struct LaneMap {
  int64_t channel_blocks;
  int64_t last_block;
  int64_t images;
  int64_t image_stride;
  int64_t channels;
  int64_t channel_stride;
  int64_t repeat = 1;
  int64_t skipped_repeats = 0;
};

// Copies rows of a tensor into a packed tile (pack), or out of one (unpack).
template <typename T>
struct PackJob {
  T* tensor;
  AccumulatorOf<T>* packed;
  LaneMap lanes;

  int64_t multiplier;  // of what is packed
  int64_t rows;
  int64_t columns;
  int64_t multiplier_stride;
  int64_t row_stride;
  int64_t column_stride;

  // In a packed tile, columns are a vector apart. Rows are a ring of so many slots.
  int64_t packed_block_stride;
  int64_t packed_multiplier_stride;
  int64_t packed_row_stride;
  int64_t first_slot;  // for the first row
  int64_t slots;
};

// What happens to finished sums before they are rounded.
template <typename Acc>
struct EpilogueJob {
  const Acc* bias;  // packed: [channel block][lane]; nullptr: none
  conv::Activation activation;
  Acc alpha;
  // Where the activation does no more than to cut sums off, its least and greatest value.
  Acc low;
  Acc high;
};

// The vertical taps that one row of the result gathers from, and the slot of the ring that holds
// the first one's row.
struct RowTaps {
  conv::TapRange taps;
  int64_t slot;
};

// Columns of the result that have the same phase, and the taps that reach any of them. Where one
// reaches beyond the source, each tap has a mask, PackedJob::masks[first_mask + i] for the i-th:
// bit x tells whether column x gathers from inside.
struct ColumnTile {
  int64_t column;
  conv::TapRange taps;
  int64_t first_mask = -1;  // none: all are inside
};

// Computes tiles of a result of type T from a packed tile of the source.
template <typename T>
struct PackedJob {
  const AccumulatorOf<T>* packed;  // as in PackJob
  const AccumulatorOf<T>* filter;  // packed, too: its columns are the horizontal taps
  T* result;                       // first row, column 0, first channel block
  bool accumulate;  // adds to the result, which then has to be of the accumulator's type
  const EpilogueJob<AccumulatorOf<T>>* epilogue;  // nullptr: none

  int64_t channel_blocks;
  int64_t multiplier;
  const RowTaps* rows;
  int64_t row_count;
  const ColumnTile* tiles;
  int64_t tile_count;
  const uint32_t* masks;

  int64_t packed_block_stride;
  int64_t packed_multiplier_stride;
  int64_t packed_row_stride;
  int64_t slots;
  int64_t filter_block_stride;
  int64_t filter_multiplier_stride;
  int64_t filter_row_stride;
  int64_t result_block_stride;
  int64_t result_last_block;  // from the first channel block to the last
  int64_t result_row_stride;
  int64_t result_column_stride;  // from a column of the result to the next ...
  int64_t result_tile_stride;    // ... and from a column of a tile to the tile's next
  int64_t packed_tile_stride;    // the same in the packed tile

  // From a tap to the next: the tap grows, the source's row (slot) and column fall.
  int64_t vertical_tap;
  int64_t vertical_slot;
  int64_t horizontal_tap;
  int64_t horizontal_column;
};

// What DirectJobs may have: horizontal taps in kernels made for their number, and in the one for
// any number; columns of a tile or pairs of them, either way so many columns of the result, and
// columns between what neighbours of a tile gather from.
constexpr int kMostDirectTaps = 7;
constexpr int kMostLongTaps = 51;
constexpr int kMostDirectColumns = 7;
constexpr int kMostDirectPairs = 4;
constexpr int kMostDirectResults =
    kMostDirectColumns > 2 * kMostDirectPairs ? kMostDirectColumns : 2 * kMostDirectPairs;
constexpr int kMostDirectShift = 2;
// Channel blocks that a write buffer holds of a tile.
constexpr int kWriteBufferBlocks = 8;

// Two rows of the result that gather from the same rows of the source, or one row alone.
template <typename T>
struct DirectRows {
  const T* source;            // column 0 of the last row that either gathers from
  int64_t source_row_stride;  // back to the next one
  int64_t count;              // of such rows
  int64_t taps_row_stride;    // from a row's taps in the filter to the next row's

  // For each row of the result:
  T* result[2];  // its column 0, or nullptr
  int64_t taps[2];
  int64_t begin[2];  // the rows of the source that it gathers from
  int64_t end[2];
};

// Columns of the result, a period apart, or, in dwconv_direct_pairs, neighbours of which each
// second one takes the filter's odd taps.
struct DirectTile {
  int64_t result;   // the first column, and ...
  int64_t source;   // ... the first column of the source that it needs, in elements
  uint64_t inside;  // bit i: whether the i-th column that it needs is inside
  uint32_t write;   // bit i: whether the i-th column of the result is to be written
};
static_assert(kMostLongTaps + (kMostDirectColumns - 1) * kMostDirectShift < 64,
              "bits for all columns that a tile needs");

// Computes tiles of two rows from the source itself.
template <typename T>
struct DirectJob {
  const AccumulatorOf<T>* filter;  // packed; the first horizontal tap
  int64_t filter_block_stride;
  int64_t filter_column_stride;
  int64_t taps;  // horizontal ones, for the kernel that takes any number

  const EpilogueJob<AccumulatorOf<T>>* epilogue;  // nullptr: none

  int64_t channel_blocks;
  int64_t last_block;  // from the first channel block to the last, in elements
  DirectRows<T> rows;
  const DirectTile* tiles;
  int64_t tile_count;
  int64_t source_column_stride;  // from a column that the tile needs to the next
  int64_t result_column_stride;  // from a column of the tile to the next

  // Where rows of each tensor begin that will be needed later. They are prefetched little by
  // little, as many bytes at a time as a row of the tile has, of the source times the shift;
  // nullptr: nothing is.
  const char* next_source[2 * kMostDirectShift];
  const char* next_result[2];

  bool downwards;  // channel blocks, from the last to the first; not with a write buffer

  // If not nullptr, results take the way over this buffer, which holds kWriteBufferBlocks channel
  // blocks of a tile, so that they are written in longer pieces.
  T* write_buffer;
  int64_t write_buffer_column_stride;  // from a column of the tile to the next
  // Stores past the caches; then results are made of whole, aligned vectors.
  bool non_temporal;
};

// A row of out_backprop, and the rows of the input that it meets through a few vertical taps that
// follow each other.
constexpr int kMostFilterRows = 7;
struct FilterGradRow {
  int64_t out;
  int64_t source[kMostFilterRows];  // for each tap; from the job's source, in elements, as all
  uint32_t inside;                  // bit r: whether the r-th is inside the input
};

// Columns of out_backprop: Dispatch::filter_grad_columns of them if `wide`, else one; and those of
// the input that they meet through a few horizontal taps.
struct FilterGradTile {
  int64_t out;
  int64_t source;   // the first column
  uint32_t inside;  // bit j: whether the j-th column is inside the input
  bool wide;
};

// Sums of the filter's gradient, for one channel block and a few taps. Wherever sums are kept, they
// are [channel block][vertical tap][horizontal tap][2][lane]: the sum, and what rounding took from
// it.
template <typename T>
struct FilterGradJob {
  const T* out;
  const T* source;
  const FilterGradRow* rows;
  int64_t row_count;
  const FilterGradTile* tiles;
  int64_t tile_count;
  int64_t out_column_stride;     // from a column of a tile to the next
  int64_t source_column_stride;  // from a column that the tile meets to the next

  // What later visits need is prefetched little by little: so many lines of 64 bytes for each tile
  // of each row.
  const char* next_out;
  const char* next_source;
  int64_t out_lines;
  int64_t source_lines;

  AccumulatorOf<T>* sums;  // those of the first tap, to be added to
  int64_t sum_row_stride;  // from a vertical tap to the next
  int64_t sum_rows;        // vertical taps
};

// Adds sums of several images, which share vectors, to those of all.
template <typename Acc>
struct ReduceImagesJob {
  const Acc* from;
  Acc* to;
  int64_t count;     // of pairs of vectors
  int64_t images;    // lane image * channels + c goes to ...
  int64_t channels;  // ... lane c
};

// Adds the sums of parts, and writes a filter.
template <typename T>
struct ReducePartsJob {
  const AccumulatorOf<T>* sums;
  int64_t parts;
  int64_t sum_part_stride;
  int64_t channel_blocks;
  int64_t sum_block_stride;
  int64_t taps;
  T* result;
  int64_t last_block;  // from the first channel block to the last, in the result
  int64_t result_tap_stride;
  int64_t channels;  // lanes of a block that are in use: the first
};

}  // namespace tf_dwbp::cpu
