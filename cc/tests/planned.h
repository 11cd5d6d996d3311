// What tests of plans share.
#pragma once

#include <algorithm>
#include <cctype>
#include <limits>
#include <string>
#include <vector>

#include "cc/conv/geometry.h"
#include "cc/cpu/filter_grad_axis.h"
#include "cc/cpu/implementations.h"

namespace tf_dwbp::testing {

// Axes of all kinds: borders and none, every relation of stride and dilation, one position, many,
// and some that gather nothing.
inline const std::vector<conv::Axis>& planned_axes() {
  static const std::vector<conv::Axis> kAxes = {
      {1, 1, 1, 1, 1, 0},      {9, 9, 3, 1, 1, 1},     {56, 56, 3, 1, 1, 1},
      {57, 29, 3, 2, 1, 1},    {56, 28, 3, 2, 1, 0},   {300, 300, 5, 1, 2, 4},
      {301, 151, 3, 2, 1, 1},  {200, 67, 4, 3, 2, 2},  {130, 44, 5, 3, 1, 1},
      {40, 40, 7, 1, 3, 9},    {12, 1, 12, 1, 1, 0},   {64, 13, 2, 5, 1, 0},
      {250, 125, 6, 2, 4, 10}, {30, 15, 2, 2, 2, 0},   {20, 17, 2, 2, 7, 12},
      {7, 40, 3, 1, 1, 18},    {600, 4, 3, 170, 1, 0}, {128, 128, 1, 1, 1, 0},
      {258, 129, 2, 2, 1, 1},  {33, 11, 9, 3, 6, 20},
  };
  return kAxes;
}

inline const cpu::Implementation& implementation(conv::Op op, const std::string& name) {
  for (const cpu::Implementation& by : cpu::implementations(op)) {
    if (by.name == name) return by;
  }
  return cpu::implementations(op).back();
}

// The position of the input that tap k links to position `out` of the output.
inline int64_t linked_by(const conv::Axis& axis, int64_t out, int64_t k) {
  return out * axis.stride + k * axis.dilation - axis.pad_before;
}

// From the lowest to the highest that any tap links to the positions [begin, end) of the output,
// and of these the ones inside the input.
inline cpu::Range met_of(const conv::Axis& axis, int64_t begin, int64_t end) {
  int64_t low = std::numeric_limits<int64_t>::max(), high = -1;
  for (int64_t out = begin; out < end; ++out)
    for (int64_t k = 0; k < axis.filter; ++k) {
      low = std::min(low, linked_by(axis, out, k));
      high = std::max(high, linked_by(axis, out, k));
    }
  low = std::max<int64_t>(0, low);
  return {low, std::max(low, std::min(axis.in, high + 1))};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::vector<int64_t> numbers_in(const std::string& text) {
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < text.size();) {
    if (std::isdigit(static_cast<unsigned char>(text[i])) == 0) {
      ++i;
      continue;
    }
    size_t length = 0;
    numbers.push_back(std::stoll(text.substr(i), &length));
    i += length;
  }
  return numbers;
}

}  // namespace tf_dwbp::testing
