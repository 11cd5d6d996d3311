// Packed tiles are rows of lanes, [column][lane], of the type that sums are kept in: the places of
// their elements in a tensor.
#pragma once

#include <cstdint>

namespace tf_dwbp::cpu::eigen {

// Where the channels of a block lie in a tensor, one for each lane.
struct Lanes {
  int64_t* places;
  int64_t count = 0;
  bool nhwc = false;
  bool adjacent = false;  // each beside the one before
};

// Calls `f(place in rows of lanes, place in a tensor)` for columns of all lanes: rows of lanes are
// `row` apart, columns of the tensor `stride`. What `f` writes it does not read.
template <typename Function>
void for_each(const Lanes& lanes, int64_t row, int64_t columns, int64_t stride, const Function f) {
  const int64_t count = lanes.count;
  const int64_t* const places = lanes.places;
  if (lanes.adjacent) {
    for (int64_t x = 0; x < columns; ++x) {
      const int64_t to = x * row, at = places[0] + x * stride;
#pragma GCC ivdep
      for (int64_t lane = 0; lane < count; ++lane) f(to + lane, at + lane);
    }
  } else if (lanes.nhwc) {
    for (int64_t x = 0; x < columns; ++x) {
      const int64_t to = x * row, at = x * stride;
#pragma GCC unroll 4
#pragma GCC ivdep
      for (int64_t lane = 0; lane < count; ++lane) f(to + lane, at + places[lane]);
    }
  } else {
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t at = places[lane];
#pragma GCC unroll 4
#pragma GCC ivdep
      for (int64_t x = 0; x < columns; ++x) f(x * row + lane, at + x * stride);
    }
  }
}

}  // namespace tf_dwbp::cpu::eigen
