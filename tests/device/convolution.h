// The depthwise convolution and its gradients by their definition: all three are sums over the same
// products, each of one element of the input, of the filter and of the output.

#ifndef TF_DWBP_TESTS_DEVICE_CONVOLUTION_H_
#define TF_DWBP_TESTS_DEVICE_CONVOLUTION_H_

#include <algorithm>
#include <array>
#include <cfenv>
#include <cstdint>
#include <cstring>
#include <vector>

#include "faults.h"

namespace my_npu {

enum class Padding { kSame, kValid, kExplicit };

// One axis of an image.
struct Axis {
  int64_t input, filter, output;
  int64_t stride, dilation, pad_before;

  // The pixel that tap `tap` of output `output` reads; it may lie outside.
  int64_t Pixel(int64_t output, int64_t tap) const {
    return output * stride + tap * dilation - pad_before;
  }
};

struct Problem {
  int64_t batch, channels, multiplier;
  Axis rows, columns;
  bool nchw;
};

// The axis of valid arguments.
inline Axis MakeAxis(int64_t input, int64_t filter, int64_t stride, int64_t dilation,
                     Padding padding, int64_t explicit_before, int64_t explicit_after) {
  Axis axis{input, filter, 0, stride, dilation, 0};
  const int64_t span = (filter - 1) * dilation + 1;
  if (padding == Padding::kSame) {
    axis.output = (input + stride - 1) / stride;
    const int64_t total = std::max<int64_t>(0, (axis.output - 1) * stride + span - input);
    axis.pad_before = total / 2;
    if (Present() == Fault::kPaddingBefore) axis.pad_before = total - total / 2;
    return axis;
  }
  const int64_t before = padding == Padding::kExplicit ? explicit_before : 0;
  const int64_t after = padding == Padding::kExplicit ? explicit_after : 0;
  axis.output = std::max<int64_t>(0, (input + before + after - span) / stride + 1);
  if (input + before + after < span) axis.output = 0;
  axis.pad_before = before;
  if (Present() == Fault::kExplicitIgnored) axis.pad_before = 0;
  return axis;
}

// Where an image's element lies.
inline int64_t Offset(const Problem& problem, int64_t image, int64_t row, int64_t column,
                      int64_t channel, int64_t rows, int64_t columns, int64_t channels) {
  if (problem.nchw && Present() != Fault::kLayoutIgnored) {
    return ((image * channels + channel) * rows + row) * columns + column;
  }
  return ((image * rows + row) * columns + column) * channels + channel;
}

// Calls visit(input, filter, output), offsets of elements, for each product there is.
template <typename Visit>
void ForEachProduct(const Problem& problem, bool gradient, Visit visit) {
  const Fault fault = Present();
  Axis rows = problem.rows, columns = problem.columns;
  if (fault == Fault::kDilationsIgnored) rows.dilation = columns.dilation = 1;
  if (fault == Fault::kOneStride) columns.stride = rows.stride;
  const auto outside = [](const Axis& axis, int64_t pixel) {
    return pixel < 0 || pixel >= axis.input;
  };
  const int64_t outputs = problem.channels * problem.multiplier;
  for (int64_t image = 0; image < problem.batch; ++image) {
    const int64_t read_image = fault == Fault::kFirstImageOnly ? 0 : image;
    for (int64_t y = 0; y < rows.output; ++y) {
      for (int64_t x = 0; x < columns.output; ++x) {
        for (int64_t i = 0; i < rows.filter; ++i) {
          for (int64_t j = 0; j < columns.filter; ++j) {
            int64_t row = rows.Pixel(y, i), column = columns.Pixel(x, j);
            if (outside(rows, row) || outside(columns, column)) {
              if (fault != Fault::kClampedBorder || !rows.input || !columns.input) continue;
              row = std::clamp<int64_t>(row, 0, rows.input - 1);
              column = std::clamp<int64_t>(column, 0, columns.input - 1);
            }
            for (int64_t c = 0; c < problem.channels; ++c) {
              for (int64_t m = 0; m < problem.multiplier; ++m) {
                const int64_t output_channel = gradient && fault == Fault::kMultiplierOrder
                                                   ? m * problem.channels + c
                                                   : c * problem.multiplier + m;
                const int64_t tap = i * columns.filter + j;
                visit(Offset(problem, read_image, row, column, c, rows.input, columns.input,
                             problem.channels),
                      (tap * problem.channels + c) * problem.multiplier + m,
                      Offset(problem, image, y, x, output_channel, rows.output, columns.output,
                             outputs));
              }
            }
          }
        }
      }
    }
  }
}

// The sums that make up one op's result.
template <typename T>
class Sums {
 public:
  explicit Sums(int64_t size) : sums_(size), written_(size) {}

  void Add(int64_t where, T a, T b) {
    sums_[where] += static_cast<double>(a) * static_cast<double>(b);
    written_[where] = true;
    if (Present() == Fault::kLowPrecision) {
      float sum = static_cast<float>(sums_[where]);
      uint32_t bits;
      std::memcpy(&bits, &sum, sizeof(bits));
      bits &= 0xffff0000u;  // a bfloat16's
      std::memcpy(&sum, &bits, sizeof(bits));
      sums_[where] = sum;
    }
  }

  void Write(T* result) const {
    for (size_t i = 0; i < sums_.size(); ++i) {
      if (!written_[i] && Present() == Fault::kNotWritten) continue;
      result[i] = static_cast<T>(sums_[i]);
    }
  }

 private:
  std::vector<double> sums_;
  std::vector<bool> written_;
};

enum class Op { kForward, kInputGrad, kFilterGrad };

// Computes an op; `a` and `b` are its operands in the order of its arguments.
template <typename T>
void Compute(Op op, const Problem& problem, const T* a, const T* b, T* result, int64_t size) {
  std::fenv_t environment;
  std::fegetenv(&environment);
  std::fesetenv(FE_DFL_ENV);  // TensorFlow's threads take denormals for zero
  Sums<T> sums(size);
  ForEachProduct(problem, op != Op::kForward, [&](int64_t input, int64_t filter, int64_t output) {
    switch (op) {
      case Op::kForward:
        return sums.Add(output, a[input], b[filter]);
      case Op::kInputGrad:
        return sums.Add(input, a[filter], b[output]);
      case Op::kFilterGrad:
        return sums.Add(filter, a[input], b[output]);
    }
  });
  sums.Write(result);
  std::fesetenv(&environment);
}

}  // namespace my_npu

#endif  // TF_DWBP_TESTS_DEVICE_CONVOLUTION_H_
