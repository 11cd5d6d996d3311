// What a position of a result gathers along one axis, by trying every tap.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "cc/conv/geometry.h"

namespace tf_dwbp::testing {

using Links = std::vector<std::pair<int64_t, int64_t>>;  // tap, source

// As if the source had no borders. Source positions fall: the forward op's taps are counted from
// the filter's last.
inline Links links_without_borders(const conv::Axis& axis, bool forward, int64_t position) {
  Links links;
  for (int64_t tap = 0; tap < axis.filter; ++tap) {
    if (forward) {
      const int64_t k = axis.filter - 1 - tap;
      links.emplace_back(tap, position * axis.stride + k * axis.dilation - axis.pad_before);
    } else {
      const int64_t distance = position + axis.pad_before - tap * axis.dilation;
      if (distance % axis.stride == 0) links.emplace_back(tap, distance / axis.stride);
    }
  }
  return links;
}

inline Links links_of(const conv::Axis& axis, bool forward, int64_t position) {
  Links inside;
  for (const auto& [tap, source] : links_without_borders(axis, forward, position)) {
    if (source >= 0 && source < (forward ? axis.in : axis.out)) inside.emplace_back(tap, source);
  }
  return inside;
}

}  // namespace tf_dwbp::testing
