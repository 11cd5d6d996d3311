// Which positions of out_backprop and of the input the filter links, along one axis.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/geometry.h"

namespace tf_dwbp::cpu {

// Positions from `begin` to before `end`; none if these are equal.
struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// Those of the positions [begin, end) of out_backprop that tap k links to the input.
Range linked(const conv::Axis& axis, int64_t k, int64_t begin, int64_t end);

// The positions of the input that any tap links to the positions [begin, end) of out_backprop, and
// those in between.
Range met(const conv::Axis& axis, int64_t begin, int64_t end);

// Rows of out_backprop are counted through all images. Calls `f(image, first, end)` for each image
// that the rows [begin, end) lie in, with its own rows counted from its first.
template <typename Function>
void for_images(int64_t image_rows, int64_t begin, int64_t end, const Function& f) {
  for (int64_t y = begin; y < end;) {
    const int64_t image = y / image_rows;
    const int64_t next = std::min(end, (image + 1) * image_rows);
    f(image, y - image * image_rows, next - image * image_rows);
    y = next;
  }
}

}  // namespace tf_dwbp::cpu
