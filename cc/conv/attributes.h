// The attributes of a depthwise convolution call: as the user wrote them, and as checked.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cc/conv/export.h"

namespace tf_dwbp::conv {

// The text of what is wrong with a call; empty when nothing is.
using Error = std::string;

enum class Padding { kSame, kValid, kExplicit };

constexpr const char* name_of(Padding padding) {
  return padding == Padding::kSame ? "SAME" : padding == Padding::kValid ? "VALID" : "EXPLICIT";
}

// Where the batch, the two spatial axes and the channels stand in a 4-D shape.
enum class Layout { kNHWC, kNCHW };

constexpr const char* name_of(Layout layout) { return layout == Layout::kNHWC ? "NHWC" : "NCHW"; }

// The one of `all` that has the name, or false.
template <typename Enum, size_t n>
bool read_name(const std::string& name, const std::array<Enum, n>& all, Enum* value) {
  for (const Enum candidate : all) {
    *value = candidate;
    if (name == name_of(candidate)) return true;
  }
  return false;
}

struct LayoutAxes {
  int batch, height, width, channels;
};

constexpr LayoutAxes axes_of(Layout layout) {
  return layout == Layout::kNHWC ? LayoutAxes{0, 1, 2, 3} : LayoutAxes{0, 2, 3, 1};
}

// What the user wrote, unchecked. Lists are in the order of data_format.
struct UserAttributes {
  std::vector<int64_t> strides;
  std::string padding;
  std::vector<int64_t> explicit_paddings;
  std::string data_format;
  std::vector<int64_t> dilations;
};

// What holds along one spatial axis; the paddings count for Padding::kExplicit only.
struct AxisAttributes {
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad_before = 0;
  int64_t pad_after = 0;
};

struct Attributes {
  Layout layout = Layout::kNHWC;
  Padding padding = Padding::kSame;
  AxisAttributes height;
  AxisAttributes width;
};

// Checks all that can be said of the attributes alone.
[[nodiscard]] TF_DWBP_EXPORT Error check_attributes(const UserAttributes& user,
                                                    Attributes* attributes);

// "[1, 2, 2, 1]", for messages; an unknown size is written "?".
std::string to_string(const std::vector<int64_t>& list);

}  // namespace tf_dwbp::conv
