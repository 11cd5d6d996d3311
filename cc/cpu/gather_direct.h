// Gathers straight from the source, without a copy: for NHWC with channels that fill a vector,
// depth multiplier 1 and few horizontal taps, which is what models have.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/cpu/gather_plan.h"
#include "cc/cpu/kernels.h"

namespace tf_dwbp::cpu {

template <typename T>
class DirectGather {
 public:
  // Whether it can do the call.
  static bool suits(const conv::Gathering& call);

  DirectGather(const conv::Gathering& call, const GatherPlan& plan, const AccumulatorOf<T>* filter,
               const T* source, T* result, int64_t workers);

  // Work is cut into items: a block of rows x a block of columns of a chunk of groups of lanes,
  // for one image.
  int64_t items() const { return g_.batch * row_blocks_ * column_blocks_ * chunks_; }
  void run(int64_t item) const;

 private:
  // Columns that are equal modulo the period, and so have the same horizontal taps; or pairs of
  // columns, whose taps are the even and the odd ones.
  struct Class {
    int64_t first_tap;
    int taps;
    int width;  // columns, or pairs, of each tile
    int64_t first_tile;
    int64_t tiles;
  };

  void make_tiles();
  void add_class(int64_t first, int64_t period, int neighbours, int taps, int most);
  void cut(int64_t workers);
  bool stores_meet_loads() const;
  void run_rows(int64_t row, bool two, int64_t column_block, DirectJob<T> job) const;
  void ask(int64_t row, int64_t column_block, int64_t column_class, DirectJob<T>* job) const;

  const conv::Gathering& g_;
  const GatherPlan& plan_;
  const AccumulatorOf<T>* filter_;
  const T* source_;
  T* result_;

  // Whether columns are summed in pairs that gather from the same columns of the source.
  bool pairs_;
  // Rows this far apart are summed together, and columns, if not in pairs: they gather from the
  // same positions or from neighbours among these.
  int64_t row_period_;
  int64_t column_period_;
  std::vector<Class> classes_;
  std::vector<DirectTile> tiles_;

  int64_t row_blocks_;
  int64_t block_rows_;
  int64_t column_blocks_;
  int64_t chunks_;

  bool downwards_;
  bool prefetch_;
  bool stage_;
  bool stream_;
};

}  // namespace tf_dwbp::cpu
