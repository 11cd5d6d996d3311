// Which ways through the kernels calls take: counted, so that tests and the fuzzer can tell what
// they have reached.
#pragma once

#include <cstdint>

namespace tf_dwbp::cpu {

enum class Path {
  kZeros,              // no products: the result is zeros
  kLines,              // forward, input gradient: rows as they lie in memory, ...
  kLinesSplit,         // ... split into strands
  kLinesJoined,        // ... put together from phases
  kDirect,             // forward, input gradient: straight from the source, tile by tile ...
  kDirectPairs,        // ... in pairs of columns that share what they gather from
  kDirectWriteBuffer,  // ... over a buffer, since columns are 4 KB apart
  kDirectNonTemporal,  // ... past the caches
  kDirectPrefetch,     // ... asking for the next rows
  kPacked,             // forward, input gradient: from packed tiles, ...
  kPackedRowWise,      // ... row by row, since a tile would be too large
  kPackedShared,       // ... images share vectors
  kFilterLines,        // filter gradient: rows as they lie in memory, ...
  kFilterLinesSplit,   // ... split into strands
  kFilterDirect,       // straight from the operands
  kFilterPrefetch,     // ... asking for the next rows
  kFilterPacked,       // from packed tiles
  kFilterTapwise,      // from packed tiles of one tap, since all taps' would be too large
  kFilterShared,       // images share vectors
  kCount
};

// Thread-safe, as the others.
void count(Path path);

// The path's name for people.
const char* name_of(Path path);
// Calls in this process that have taken it.
int64_t count_of(Path path);

}  // namespace tf_dwbp::cpu
