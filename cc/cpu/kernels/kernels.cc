// The micro-kernels of all ops. This file is compiled once for each instruction set and type, so it
// takes no Eigen and no functions of the standard library, nothing that instruction sets would
// share.

#include "cc/cpu/kernels/kernels.h"

#include "cc/cpu/kernels/dwconv_direct.h"
#include "cc/cpu/kernels/dwconv_filter_grad.h"
#include "cc/cpu/kernels/dwconv_filter_grad_lines.h"
#include "cc/cpu/kernels/dwconv_lines.h"
#include "cc/cpu/kernels/dwconv_packed.h"
#include "cc/cpu/kernels/pack.h"
#include "cc/cpu/kernels/simd.h"
#include "cc/cpu/kernels/spread.h"
#include "cc/cpu/kernels/unpack.h"
#include "cc/cpu/tuning.h"

#if !defined(TF_DWBP_ISA) || !defined(TF_DWBP_TYPE)
#error "Compile with -DTF_DWBP_ISA=<of CPU_ISAS in cc/sources.bzl> -DTF_DWBP_TYPE=<of TYPES there>"
#endif

namespace tf_dwbp::cpu {
namespace {

template <bool kAdjacent, typename T, int... kColumns>
constexpr void set_packed(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->dwconv_packed[kAdjacent][kColumns] = dwconv_packed<kAdjacent, kColumns + 1, T>), ...);
}

template <int kShift, int kTaps, typename T, int... kColumns>
constexpr void set_direct(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->dwconv_direct[kShift - 1][kTaps - 1][kColumns] =
        dwconv_direct<kShift, kTaps, 0, kColumns + 1, T>),
   ...);
}

template <int kShift, typename T, int... kColumns>
constexpr void set_long(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->dwconv_direct_long[kShift - 1][kColumns] =
        dwconv_direct<kShift, kAnyTaps, 0, kColumns + 1, T>),
   ...);
}

template <int kShift, typename T, int... kTaps>
constexpr void set_directs(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  constexpr auto kColumns = std::make_integer_sequence<int, kDirectColumns[kShift - 1]>{};
  (set_direct<kShift, kTaps>(kernels, kColumns), ...);
  set_long<kShift>(kernels, kColumns);
}

template <int kTaps, typename T, int... kPairs>
constexpr void set_pairs(Kernels<T>* kernels, std::integer_sequence<int, kPairs...>) {
  constexpr int kOthers = kTaps / 2;
  ((kernels->dwconv_direct_pairs[kTaps - 1][kPairs] =
        dwconv_direct<1, kTaps - kOthers, kOthers, kPairs + 1, T>),
   ...);
}

template <bool kPlane, int kShift, typename T, int... kTaps>
constexpr void set_lines(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  ((kernels->dwconv_lines[kPlane][kShift - 1][kTaps] =
        dwconv_lines<kShift, kTaps + 1, kPlane, AccumulatorOf<T>>),
   ...);
}

template <int kShift, int kTaps, typename T, int... kColumns>
constexpr void set_filter_grad_lines(Kernels<T>* kernels, std::integer_sequence<int, kColumns...>) {
  ((kernels->dwconv_filter_grad_lines[kShift - 1][kTaps - 1][kColumns] =
        dwconv_filter_grad_lines<kShift, kTaps, kColumns + 1, AccumulatorOf<T>>),
   ...);
}

template <int kShift, typename T, int... kTaps>
constexpr void set_filter_grad_lines_of(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  (set_filter_grad_lines<kShift, kTaps + 1>(
       kernels, std::make_integer_sequence<int, kFilterGradLineColumns[kTaps]>{}),
   ...);
}

template <int kShift, typename T, int... kTaps>
constexpr void set_filter_grads(Kernels<T>* kernels, std::integer_sequence<int, kTaps...>) {
  ((kernels->dwconv_filter_grad[kShift - 1][kTaps - 1] = dwconv_filter_grad<kShift, kTaps, T>),
   ...);
}

constexpr Registers kRegisters = {
    kVectorBytes,
    {kDirectColumns[0], kDirectColumns[1]},
    kDirectPairs,
    kFilterGradColumns,
    {kFilterGradRows[0], kFilterGradRows[1], kFilterGradRows[2], kFilterGradRows[3],
     kFilterGradRows[4], kFilterGradRows[5], kFilterGradRows[6]},
    {kFilterGradLineColumns[0], kFilterGradLineColumns[1], kFilterGradLineColumns[2],
     kFilterGradLineColumns[3], kFilterGradLineColumns[4], kFilterGradLineColumns[5],
     kFilterGradLineColumns[6]}};

// What works on accumulators.
template <typename T>
constexpr void set_sums(Kernels<T>* kernels) {
  constexpr auto kLineTaps = std::make_integer_sequence<int, kMostLineTaps[0]>{};
  constexpr auto kApartLineTaps = std::make_integer_sequence<int, kMostLineTaps[1]>{};
  set_lines<false, 1>(kernels, kLineTaps);
  set_lines<false, 2>(kernels, kApartLineTaps);
  set_lines<true, 1>(kernels, kLineTaps);
  set_lines<true, 2>(kernels, kApartLineTaps);
  set_filter_grad_lines_of<1>(kernels, kLineTaps);
  set_filter_grad_lines_of<2>(kernels, kApartLineTaps);
  kernels->fold_lines = fold_lines<T>;
  kernels->reduce_images = reduce_images<T>;
}

template <typename T>
constexpr Kernels<T> kernels() {
  using Acc = AccumulatorOf<T>;
  Kernels<T> made{};
  made.registers = kRegisters;
  made.pack = pack<T>;
  made.unpack = unpack<T>;
  made.widen = widen<T>;
  made.spread_in = spread<T, Acc>;
  made.spread_out = spread<Acc, T>;
  made.reduce_parts = reduce_parts<T>;
  constexpr auto kColumns = std::make_integer_sequence<int, kMostPackedColumns>{};
  set_packed<false>(&made, kColumns);
  set_packed<true>(&made, kColumns);
  set_directs<1>(&made, std::integer_sequence<int, 1, 2, 3, 5, 7>{});
  set_directs<2>(&made, std::integer_sequence<int, 3, 5, 7>{});
  constexpr auto kPairs = std::make_integer_sequence<int, kDirectPairs>{};
  set_pairs<3>(&made, kPairs);
  set_pairs<5>(&made, kPairs);
  set_pairs<7>(&made, kPairs);
  set_filter_grads<1>(&made, std::integer_sequence<int, 1, 2, 3, 4, 5, 6, 7>{});
  set_filter_grads<2>(&made, std::integer_sequence<int, 3, 5, 7>{});
  if constexpr (std::is_same_v<T, Acc>) set_sums(&made);
  return made;
}

}  // namespace

// The only symbol that this file gives to the linker.
#define TF_DWBP_CONCAT_(a, b) a##b
#define TF_DWBP_CONCAT(a, b) TF_DWBP_CONCAT_(a, b)
extern const Kernels<TF_DWBP_TYPE> TF_DWBP_ISA::TF_DWBP_CONCAT(kKernels_, TF_DWBP_TYPE) =
    kernels<TF_DWBP_TYPE>();

}  // namespace tf_dwbp::cpu
