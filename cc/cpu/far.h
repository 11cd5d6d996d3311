// Where tensors come from, and where they go.
#pragma once

#include <algorithm>
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

// Whether a result of so many bytes should be stored past the caches, the last of which has
// `l3_bytes`, 0 if nobody knows.
inline bool goes_past_caches(double result_bytes, double source_bytes, int64_t element_bytes,
                             int64_t l3_bytes) {
  const bool narrow = element_bytes < int64_t{sizeof(float)};
  const int64_t share = l3_bytes / (narrow ? kNarrowNonTemporalShareOfL3 : kNonTemporalShareOfL3);
  const bool mostly_stores = !narrow && result_bytes >= kMostlyStores * source_bytes;
  return result_bytes >= static_cast<double>(mostly_stores ? kNonTemporalBytes
                                                           : std::max(kNonTemporalBytes, share));
}

}  // namespace tf_dwbp::cpu
