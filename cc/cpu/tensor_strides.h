// TensorStrides from element to element in a tensor of either layout.
#pragma once

#include <cstdint>

#include "cc/conv/attributes.h"

namespace tf_dwbp::cpu {

struct TensorStrides {
  TensorStrides(conv::Layout layout, int64_t channels, int64_t height, int64_t width)
      : channel(layout == conv::Layout::kNHWC ? 1 : height * width),
        column(layout == conv::Layout::kNHWC ? channels : 1),
        row(width * column),
        image(height * width * channels) {}

  int64_t channel;
  int64_t column;
  int64_t row;
  int64_t image;
};

}  // namespace tf_dwbp::cpu
