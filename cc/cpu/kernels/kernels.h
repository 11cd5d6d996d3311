// The tables of micro-kernels of an instruction set: all that drivers know of it.
#pragma once

#include "cc/conv/dtype.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/kernels/line_jobs.h"
#include "cc/cpu/runtime/isa.h"

namespace tf_dwbp::cpu {

// Columns of a packed kernel's tile at most: their sums fill the registers of every instruction
// set, and 14 is half, a quarter, ... of the widths that models have.
constexpr int kMostPackedColumns = 14;

// What depends on the instruction set alone.
struct Registers {
  int vector_bytes;
  int direct_columns[kMostDirectShift];   // of a tile at most: as many as the registers hold
  int direct_pairs;                       // of columns of a tile at most
  int filter_grad_columns;                // of a wide FilterGradTile
  int filter_grad_rows[kMostDirectTaps];  // vertical taps at most, for 1, 2, ... horizontal ones
  int filter_grad_line_columns[kMostLineTaps[0]];  // horizontal taps at most, for 1, 2, ...
                                                   // vertical
};

// The micro-kernels for one type. An entry is nullptr where no model needs one.
template <typename T>
struct Kernels {
  Registers registers;
  void (*pack)(const PackJob<const T>&);
  void (*unpack)(const PackJob<T>&);
  // For tiles of 1, 2, ... columns, in general and those that are adjacent in the packed tile.
  void (*dwconv_packed[2][kMostPackedColumns])(const PackedJob<T>&);
  // For shifts of 1 and 2, 1, 2, ... taps, and tiles of 1, 2, ... columns; for numbers of taps that
  // models have.
  void (*dwconv_direct[kMostDirectShift][kMostDirectTaps][kMostDirectColumns])(const DirectJob<T>&);
  // For shifts of 1 and 2, any number of taps, and tiles of 1, 2, ... columns.
  void (*dwconv_direct_long[kMostDirectShift][kMostDirectColumns])(const DirectJob<T>&);
  // For a filter of 1, 2, ... columns, and tiles of 1, 2, ... pairs.
  void (*dwconv_direct_pairs[kMostDirectTaps][kMostDirectPairs])(const DirectJob<T>&);
  void (*widen)(const LineRows<T, AccumulatorOf<T>>&);
  void (*spread_in)(const SpreadJob<T, AccumulatorOf<T>>&);
  void (*spread_out)(const SpreadJob<AccumulatorOf<T>, T>&);
  // For shifts of 1 and 2, and 1, 2, ... horizontal taps.
  void (*dwconv_filter_grad[kMostDirectShift][kMostDirectTaps])(const FilterGradJob<T>&);
  void (*reduce_parts)(const ReducePartsJob<T>&);

  // What works on accumulators is in their type's table alone; nullptr in those of 16-bit types.
  // For lines of several channels and of one, shifts of 1 and 2, and 1, 2, ... vertical taps.
  void (*dwconv_lines[2][kMostLineShift][kMostLineTaps[0]])(const LinesJob<AccumulatorOf<T>>&);
  // For shifts of 1 and 2, 1, 2, ... vertical taps, and 1, 2, ... horizontal ones, as many as
  // Dispatch::filter_grad_line_columns has.
  void (*dwconv_filter_grad_lines[kMostLineShift][kMostLineTaps[0]][kMostLineColumns])(
      const FilterGradLinesJob<AccumulatorOf<T>>&);
  void (*fold_lines)(const FoldLinesJob<AccumulatorOf<T>>&);
  void (*reduce_images)(const ReduceImagesJob<AccumulatorOf<T>>&);
};

struct Dispatch : Registers {
#define TF_DWBP_KERNELS_OF(kind, T, name) \
  const Kernels<T>* kind;                 \
  const Kernels<T>& of(T) const { return *kind; }
  TF_DWBP_DTYPES(TF_DWBP_KERNELS_OF)
#undef TF_DWBP_KERNELS_OF
};

// Each is compiled by itself: avx2::kKernels_Half, ...
#define TF_DWBP_KERNELS(kind, T, name) extern const Kernels<T> kKernels_##T;
#define TF_DWBP_KERNELS_FOR(isa, supported) \
  namespace isa {                           \
  TF_DWBP_DTYPES(TF_DWBP_KERNELS)           \
  }
TF_DWBP_ISAS(TF_DWBP_KERNELS_FOR)
#undef TF_DWBP_KERNELS_FOR
#undef TF_DWBP_KERNELS

}  // namespace tf_dwbp::cpu
