// What the direct and the packed implementation of the gathering ops (forward, input gradient)
// share: how channels fill vectors, and the packed filter.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cc/conv/dtype.h"
#include "cc/conv/gather.h"
#include "cc/conv/problem.h"

namespace tf_dwbp::cpu {

// The problem of a gathering op, seen as one. The filter gradient's is that of the forward op, of
// which out_backprop is the result.
conv::Gathering gathering_of(const conv::Problem& problem);

// How the channels of an image, or of a few images, fill vectors.
struct ChannelBlocks {
  ChannelBlocks(const conv::Gathering& gathering, int64_t lanes);

  // The first channel of a block: the last block overlaps the one before where channels are not a
  // multiple of the lanes.
  int64_t first_channel(int64_t block) const {
    return std::min(block * lanes, std::max<int64_t>(0, channels - lanes));
  }

  int64_t channels;  // of an image
  int64_t lanes;     // of a vector
  int64_t count;     // blocks that hold the channels of an image
  bool few;          // channels do not fill a vector: then there is one block, ...
  int64_t images;    // ... which the channels of so many images share
};

// The filter as a packed tile (see kernels/jobs.h), its taps in the place of columns. Strides count
// elements of the accumulator's type.
struct PackedFilter {
  PackedFilter(const conv::Gathering& gathering, const ChannelBlocks& blocks);
  PackedFilter(int64_t rows, int64_t columns, int64_t multiplier, const ChannelBlocks& blocks);

  int64_t row_stride;
  int64_t multiplier_stride;
  int64_t block_stride;
  int64_t elements;
};

template <typename T>
void pack_filter(const conv::Gathering& gathering, const ChannelBlocks& blocks,
                 const PackedFilter& layout, const T* filter, AccumulatorOf<T>* packed);
// A bias, as a filter of one tap: [channel block][lane].
template <typename T>
void pack_bias(const conv::Gathering& gathering, const ChannelBlocks& blocks, const T* bias,
               AccumulatorOf<T>* packed);

}  // namespace tf_dwbp::cpu
