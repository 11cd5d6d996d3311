// Where tensors come from.
#pragma once

#include <cstdint>

#include "cc/conv/geometry.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

// Bytes of the input and the output, or of their gradients. In double, since the largest tensors
// have more than 63 bits can count.
inline double moved_bytes(const conv::Geometry& g, int64_t element_bytes) {
  return (static_cast<double>(g.input_elements()) + static_cast<double>(g.output_elements())) *
         static_cast<double>(element_bytes);
}

// Whether tensors of such sizes come from far away, and not from a core's own cache, wherever the
// last op has left them.
inline bool come_from_far(const conv::Geometry& g, int64_t element_bytes) {
  return moved_bytes(g, element_bytes) >= kFarBytes;
}

}  // namespace tf_dwbp::cpu
