#include "cc/conv/call.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "cc/conv/math.h"

namespace tf_dwbp::conv {
namespace {

// Spatial sizes stay below 2^31, as they do in input_sizes (int32): with strides, dilations and
// paddings below 2^31 too, no position on an axis can leave 64 bits.
constexpr int64_t kMaxSpatial = std::numeric_limits<int32_t>::max();
// The number of elements, such that the bytes of any type fit into 63 bits as well.
constexpr int64_t kMaxElements = std::numeric_limits<int64_t>::max() / 8;

constexpr int kFilterHeight = 0, kFilterWidth = 1, kFilterChannels = 2, kMultiplier = 3;

std::string describe(const char* name, const Shape& shape) {
  if (!shape) return std::string(name) + " of unknown shape";
  std::string text = std::string(name) + " [";
  for (size_t i = 0; i < shape->size(); ++i) {
    if (i > 0) text += ", ";
    text += (*shape)[i] == kUnknown ? "?" : std::to_string((*shape)[i]);
  }
  return text + "]";
}

Error complete_rank(const char* name, const char* axes, Shape* shape) {
  if (!*shape) {
    shape->emplace(4, kUnknown);
  } else if ((*shape)->size() != 4) {
    return std::string(name) + " must have 4 dimensions, " + axes + ", but has " +
           std::to_string((*shape)->size()) + ": " + describe(name, *shape);
  }
  return "";
}

// Makes two sizes that must be equal equal, or returns false. Unknown ones learn the other's.
bool unify(int64_t* a, int64_t* b) {
  if (*a == kUnknown) *a = *b;
  if (*b == kUnknown) *b = *a;
  return *a == *b;
}

// The size of the output and the padding before it, by the rules of tf.nn.convolution.
struct Padded {
  int64_t out;
  int64_t before;
};

Padded pad(Padding padding, const AxisAttributes& axis, int64_t in, int64_t filter) {
  const int64_t extent = (filter - 1) * axis.dilation + 1;
  if (padding == Padding::kSame) {
    const int64_t out = ceil_div(in, axis.stride);
    return {out, std::max<int64_t>(0, (out - 1) * axis.stride + extent - in) / 2};
  }
  const int64_t room = in + axis.pad_before + axis.pad_after - extent;
  return {room < 0 ? 0 : room / axis.stride + 1, axis.pad_before};
}

Error check_axis(const Call& call, const char* what, const AxisAttributes& axis, int64_t in,
                 int64_t filter, int64_t* out) {
  if (filter != kUnknown && (filter < 1 || filter > kMaxSpatial)) {
    return describe(call.filter_name, call.filter) + " must have a " + what + " between 1 and " +
           std::to_string(kMaxSpatial) + ", but has " + std::to_string(filter);
  }
  if (in != kUnknown && in > kMaxSpatial) {
    return describe(call.input_name, call.input) + " must have a " + what + " of at most " +
           std::to_string(kMaxSpatial) + ", but has " + std::to_string(in);
  }
  // The size of the output under SAME does not depend on the filter's.
  const bool same = call.attributes.padding == Padding::kSame;
  if (in == kUnknown || (filter == kUnknown && !same)) return "";
  int64_t expected = pad(call.attributes.padding, axis, in, filter == kUnknown ? 1 : filter).out;
  if (unify(out, &expected)) return "";
  std::string text = describe(call.output_name, call.output) + " must have a " + what + " of " +
                     std::to_string(expected) + ", but has " + std::to_string(*out) +
                     ": that is what " + describe(call.input_name, call.input) + " and " +
                     describe(call.filter_name, call.filter) + " give with padding " +
                     name_of(call.attributes.padding);
  if (call.attributes.padding == Padding::kExplicit) {
    text += " " + to_string({axis.pad_before, axis.pad_after});
  }
  return text + ", stride " + std::to_string(axis.stride) + " and dilation " +
         std::to_string(axis.dilation);
}

Error check_channels(const Call& call, int64_t* in, int64_t* filter, int64_t multiplier,
                     int64_t* out) {
  if (!unify(in, filter)) {
    return describe(call.input_name, call.input) + " has " + std::to_string(*in) +
           " channels, but " + describe(call.filter_name, call.filter) + " must have as many: its" +
           " third size is " + std::to_string(*filter);
  }
  if (*in == kUnknown || multiplier == kUnknown) return "";
  int64_t product = 0;
  if (__builtin_mul_overflow(*in, multiplier, &product)) {
    return describe(call.filter_name, call.filter) + " must have fewer than 2^63 channels in all";
  }
  int64_t expected = product;
  if (unify(out, &expected)) return "";
  return describe(call.output_name, call.output) + " must have " + std::to_string(product) +
         " channels, but has " + std::to_string(*out) + ": " +
         describe(call.filter_name, call.filter) + " maps " + std::to_string(*in) +
         " channels to " + std::to_string(multiplier) + " each";
}

Error check_bias(Call* call, int64_t* channels) {
  if (!call->epilogue.bias) return "";
  if (!call->bias) {
    call->bias.emplace(1, kUnknown);
  } else if (call->bias->size() != 1) {
    return "bias must have 1 dimension, [channels of the output], but has " +
           std::to_string(call->bias->size()) + ": " + describe("bias", call->bias);
  }
  int64_t& size = call->bias->front();
  if (unify(&size, channels)) return "";
  return "bias must have a number for each of the " + std::to_string(*channels) + " channels of " +
         describe(call->output_name, call->output) + ", but has " + std::to_string(size) + ": " +
         describe("bias", call->bias);
}

Error check_elements(const char* name, const Shape& shape) {
  int64_t elements = 1;
  for (int64_t size : *shape) {
    // TensorFlow multiplies from the first size on; what comes after a 0 may be of any size.
    if (size == 0 || size == kUnknown) return "";
    if (__builtin_mul_overflow(elements, size, &elements)) elements = kMaxElements + 1;
    if (elements <= kMaxElements) continue;
    return describe(name, shape) + " must have at most " + std::to_string(kMaxElements) +
           " elements in all, sizes before a 0 included, but has more";
  }
  return "";
}

Error check_elements(const Call& call) {
  Error error = check_elements(call.input_name, call.input);
  if (error.empty()) error = check_elements(call.filter_name, call.filter);
  if (error.empty()) error = check_elements(call.output_name, call.output);
  return error;
}

}  // namespace

Call::Call(Op op)
    : op(op),
      input_name(op == Op::kInputGrad ? "input_sizes" : "input"),
      filter_name(op == Op::kFilterGrad ? "filter_sizes" : "filter"),
      output_name(op == Op::kForward ? "output" : "out_backprop") {}

Shape& Call::shape(Operand operand) {
  return operand == Operand::kInput ? input : operand == Operand::kFilter ? filter : output;
}

const char* Call::name(Operand operand) const {
  return operand == Operand::kInput    ? input_name
         : operand == Operand::kFilter ? filter_name
                                       : output_name;
}

Error check_sizes(const char* name, const std::vector<int64_t>& sizes) {
  if (sizes.size() != 4) {
    return std::string(name) + " must have 4 elements, but has " + std::to_string(sizes.size()) +
           ": " + to_string(sizes);
  }
  for (int64_t size : sizes) {
    if (size < 0) {
      return std::string(name) + " must not be negative, but is " + to_string(sizes);
    }
  }
  return "";
}

Error check_call(Call* call) {
  const Layout layout = call->attributes.layout;
  const char* order = layout == Layout::kNHWC ? "[batch, height, width, channels]"
                                              : "[batch, channels, height, width]";
  Error error = complete_rank(call->input_name, order, &call->input);
  if (error.empty()) {
    error = complete_rank(call->filter_name, "[height, width, channels, depth multiplier]",
                          &call->filter);
  }
  if (error.empty()) error = complete_rank(call->output_name, order, &call->output);
  if (error.empty()) error = check_elements(*call);
  if (!error.empty()) return error;

  std::vector<int64_t>& input = *call->input;
  std::vector<int64_t>& filter = *call->filter;
  std::vector<int64_t>& output = *call->output;
  const LayoutAxes axes = axes_of(layout);
  if (!unify(&input[axes.batch], &output[axes.batch])) {
    return describe(call->output_name, call->output) + " must have the batch size of " +
           describe(call->input_name, call->input) + ", " + std::to_string(input[axes.batch]) +
           ", but has " + std::to_string(output[axes.batch]);
  }
  error = check_channels(*call, &input[axes.channels], &filter[kFilterChannels],
                         filter[kMultiplier], &output[axes.channels]);
  if (error.empty()) {
    error = check_axis(*call, "height", call->attributes.height, input[axes.height],
                       filter[kFilterHeight], &output[axes.height]);
  }
  if (error.empty()) {
    error = check_axis(*call, "width", call->attributes.width, input[axes.width],
                       filter[kFilterWidth], &output[axes.width]);
  }
  if (error.empty()) error = check_bias(call, &output[axes.channels]);
  // Once more, since what the others implied has been filled in.
  if (error.empty()) error = check_elements(*call);
  return error;
}

Geometry geometry_of(const Call& call) {
  const LayoutAxes axes = axes_of(call.attributes.layout);
  const std::vector<int64_t>& input = *call.input;
  const std::vector<int64_t>& filter = *call.filter;
  const auto along = [&](const AxisAttributes& axis, int64_t in, int64_t taps) {
    const Padded padded = pad(call.attributes.padding, axis, in, taps);
    return Axis{in, padded.out, taps, axis.stride, axis.dilation, padded.before, axis.pad_after};
  };
  Geometry geometry;
  geometry.layout = call.attributes.layout;
  geometry.padding = call.attributes.padding;
  geometry.batch = input[axes.batch];
  geometry.channels = input[axes.channels];
  geometry.multiplier = filter[kMultiplier];
  geometry.height = along(call.attributes.height, input[axes.height], filter[kFilterHeight]);
  geometry.width = along(call.attributes.width, input[axes.width], filter[kFilterWidth]);
  return geometry;
}

}  // namespace tf_dwbp::conv
