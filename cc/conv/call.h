// A depthwise convolution call as far as it is known: while tracing, sizes may be missing.
// Every check on shapes, and every error text about them, is here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/conv/attributes.h"
#include "cc/conv/geometry.h"

namespace tf_dwbp::conv {

constexpr int64_t kUnknown = -1;

// A shape, or nullopt when not even the rank is known; a size may be kUnknown.
using Shape = std::optional<std::vector<int64_t>>;

// The three tensors that a call relates, whichever of them the op computes, under the names
// that the op's user knows them by.
struct Call {
  const char* input_name;
  const char* filter_name;
  const char* output_name;
  Attributes attributes;
  Shape input;
  Shape filter;
  Shape output;
};

// Checks the sizes that are given as data, before they become a shape: four, none negative.
[[nodiscard]] Error check_sizes(const char* name, const std::vector<int64_t>& sizes);

// Checks all that is known, and completes each shape to four sizes with what the others imply.
[[nodiscard]] Error check_call(Call* call);

// The geometry of a call that check_call() has passed and whose sizes are all known.
Geometry geometry_of(const Call& call);

}  // namespace tf_dwbp::conv
