#include "cc/conv/attributes.h"

#include <limits>

namespace tf_dwbp::conv {
namespace {

// TensorFlow's own kernels narrow these to int; so that a call means the same everywhere, and
// products of two of them fit into 64 bits, we keep that limit, but say so.
constexpr int64_t kMax = std::numeric_limits<int32_t>::max();

const char* order(Layout layout) {
  return layout == Layout::kNHWC ? "batch, height, width, channels (NHWC)"
                                 : "batch, channels, height, width (NCHW)";
}

// strides and dilations obey the same rules.
Error check_steps(const char* name, const std::vector<int64_t>& list, Layout layout) {
  if (list.size() != 4) {
    return std::string(name) + " must have 4 elements, for " + order(layout) + ", but has " +
           std::to_string(list.size()) + ": " + to_string(list);
  }
  const LayoutAxes axes = axes_of(layout);
  for (int axis : {axes.batch, axes.channels}) {
    if (list[axis] != 1) {
      return std::string(name) + " must be 1 for batch and channels, but is " + to_string(list) +
             ", for " + order(layout);
    }
  }
  for (int axis : {axes.height, axes.width}) {
    if (list[axis] < 1 || list[axis] > kMax) {
      return std::string(name) + " must be between 1 and " + std::to_string(kMax) + ", but is " +
             to_string(list);
    }
  }
  return "";
}

Error check_explicit_paddings(const UserAttributes& user, const Attributes& attributes) {
  const std::vector<int64_t>& list = user.explicit_paddings;
  if (attributes.padding != Padding::kExplicit) {
    if (list.empty()) return "";
    return "explicit_paddings must be empty unless padding is EXPLICIT, but padding is " +
           user.padding + " and explicit_paddings is " + to_string(list);
  }
  if (list.size() != 8) {
    return std::string("explicit_paddings must have 8 elements, before and after for each of ") +
           order(attributes.layout) + ", but has " + std::to_string(list.size()) + ": " +
           to_string(list);
  }
  const LayoutAxes axes = axes_of(attributes.layout);
  for (int axis : {axes.batch, axes.channels}) {
    if (list[2 * axis] != 0 || list[2 * axis + 1] != 0) {
      return "explicit_paddings must be 0 for batch and channels, but is " + to_string(list) +
             ", before and after for each of " + order(attributes.layout);
    }
  }
  for (int64_t amount : list) {
    if (amount < 0 || amount > kMax) {
      return "explicit_paddings must be between 0 and " + std::to_string(kMax) + ", but is " +
             to_string(list);
    }
  }
  return "";
}

}  // namespace

std::string to_string(const std::vector<int64_t>& list) {
  std::string text = "[";
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(list[i]);
  }
  return text + "]";
}

Error check_attributes(const UserAttributes& user, Attributes* attributes) {
  if (!read_name(user.data_format, std::array{Layout::kNHWC, Layout::kNCHW}, &attributes->layout)) {
    return "data_format must be NHWC or NCHW, but is '" + user.data_format + "'";
  }
  if (!read_name(user.padding, std::array{Padding::kSame, Padding::kValid, Padding::kExplicit},
                 &attributes->padding)) {
    return "padding must be SAME, VALID or EXPLICIT, but is '" + user.padding + "'";
  }

  Error error = check_steps("strides", user.strides, attributes->layout);
  if (error.empty()) error = check_steps("dilations", user.dilations, attributes->layout);
  if (error.empty()) error = check_explicit_paddings(user, *attributes);
  if (!error.empty()) return error;

  const LayoutAxes axes = axes_of(attributes->layout);
  const bool padded = attributes->padding == Padding::kExplicit;
  const auto along = [&](int axis) {
    return AxisAttributes{user.strides[axis], user.dilations[axis],
                          padded ? user.explicit_paddings[2 * axis] : 0,
                          padded ? user.explicit_paddings[2 * axis + 1] : 0};
  };
  attributes->height = along(axes.height);
  attributes->width = along(axes.width);
  return "";
}

}  // namespace tf_dwbp::conv
