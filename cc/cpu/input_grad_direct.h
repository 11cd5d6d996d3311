// The input gradient straight from out_backprop, without a copy: for NHWC with channels that fill
// a vector, depth multiplier 1 and few horizontal taps, which is what models have.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/geometry.h"
#include "cc/conv/taps.h"
#include "cc/cpu/input_grad_plan.h"
#include "cc/cpu/kernels.h"

namespace tf_dwbp::cpu {

template <typename T>
class DirectInputGrad {
 public:
  // Whether it can do the call. The filter has to be finite besides, since columns beyond the
  // borders take part as zeros.
  static bool suits(const conv::Geometry& geometry);

  DirectInputGrad(const conv::Geometry& geometry, const InputGradPlan& plan,
                  const AccumulatorOf<T>* filter, const T* out_backprop, T* input_grad,
                  int64_t workers);

  // Work is cut into items: a block of rows x a block of columns of a chunk of groups of lanes,
  // for one image.
  int64_t items() const { return g_.batch * row_blocks_ * column_blocks_ * chunks_; }
  void run(int64_t item) const;

 private:
  // Columns that are equal modulo the column period, and so have the same horizontal taps.
  struct Class {
    int64_t first_tap;
    int taps;
    int width;  // columns of each tile
    int64_t first_tile;
    int64_t tiles;
  };

  void make_tiles();
  void cut(int64_t workers);
  void run_rows(int64_t row, bool two, int64_t column_block, DirectJob<T> job) const;
  void ask(int64_t row, int64_t column_block, int64_t column_class, DirectJob<T>* job) const;

  const conv::Geometry& g_;
  const InputGradPlan& plan_;
  const AccumulatorOf<T>* filter_;
  const T* out_backprop_;
  T* input_grad_;

  conv::TapFinder vertical_;
  conv::TapFinder horizontal_;
  // Rows and columns this far apart have the same taps, as long as these reach no border.
  int64_t row_period_;
  int64_t column_period_;
  std::vector<Class> classes_;
  std::vector<DirectTile> tiles_;

  int64_t row_blocks_;
  int64_t block_rows_;
  int64_t column_blocks_;
  int64_t chunks_;

  bool prefetch_;
  bool stage_;
  bool stream_;
};

}  // namespace tf_dwbp::cpu
