// How a call is cut into blocks of threads, their tiles and their shared memory.
#pragma once

#include <cstdint>

#include "cc/conv/dtype.h"
#include "cc/conv/geometry.h"
#include "cc/gpu/device/properties.h"
#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {

// The sums of a filter gradient's parts, in bytes: its workspace.
int64_t bytes_of_parts(const conv::Geometry& geometry, int64_t parts, Dtype dtype);
// Parts at most: one, or so many that their sums take no more than kOperandsOfWorkspace says.
// What its operands take fits into 63 bits, and so does the workspace.
int64_t most_parts(const conv::Geometry& geometry, Dtype dtype);

// A block's tile of the result and the source positions that it meets, which are staged.
struct Tile {
  int thread_rows = 1;  // thread tiles, in the block's tile
  int thread_columns = 1;
  int rows = 0;  // of the result
  int columns = 0;
  int source_rows = 0;
  int source_columns = 0;
  int row_stride = 0;  // elements from a staged row to the next
  int64_t down = 0;    // tiles of a phase
  int64_t across = 0;
};

// Blocks are counted with channels innermost in NHWC, outermost in NCHW, as memory is.
struct GatherTiling {
  int threads;
  int blocks_resident;  // whose registers fit into a multiprocessor
  int shared_bytes;
  Tile tile;
  // NHWC: words of channels in a block; a power of two. NCHW: 1.
  int lanes;
  // NCHW: planes, of an image's channel each, in a block. NHWC: 1.
  int planes;
  int64_t channel_blocks;  // NCHW: blocks of planes
  int64_t blocks;

  // For forward and input gradient. Tiles depend on the device, but the order of a sum does not
  // depend on tiles.
  GatherTiling(const conv::Geometry& geometry, const Windows& windows, const Device& device,
               int dtype_bytes);
};

// The filter gradient. A block sums a *part* of all tiles for the channels that it has; of a part
// each thread's sums have at most kTermsOfSum terms, so that rounding errors stay those of short
// sums.
struct FilterGradTiling {
  int blocks_resident;  // as above
  int shared_bytes;
  Tile tile;
  int lanes;     // NHWC: as above. NCHW: 1
  int channels;  // NCHW: channels in a block, each of whole warps
  int images;    // NCHW: images in a tile
  int64_t channel_blocks;
  int64_t tiles;  // of all images, for each block of channels
  int64_t tiles_of_part;
  int64_t parts;

  FilterGradTiling(const conv::Geometry& geometry, const Windows& windows, Dtype dtype);
};

// The filter gradient by the general kernel: a part is a number of rows of out_backprop, of all
// images, taken row_threads at a time.
struct GeneralParts {
  int lanes;           // of channels, a power of two; NCHW: 1
  int column_threads;  // powers of two, too: with lanes they make kThreads
  int row_threads;
  int64_t channel_blocks;
  int64_t rows_of_part;
  int64_t parts;

  GeneralParts(const conv::Geometry& geometry, Dtype dtype);
};

}  // namespace tf_dwbp::gpu
