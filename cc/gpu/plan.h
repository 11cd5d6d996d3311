// How a call is cut into blocks of threads, their tiles and their shared memory.
#pragma once

#include <cstdint>

#include "cc/conv/geometry.h"
#include "cc/gpu/window.h"

namespace tf_dwbp::gpu {

// Threads of a block: few, so that while some blocks of a multiprocessor wait for their tiles,
// others multiply, whatever registers a thread takes (a quarter of them are enough for a block).
inline constexpr int kThreads = 128;

// What plans of the gather kernels depend on. Tiles do not change the order of any sum.
struct Device {
  int multiprocessors;
  int shared_bytes;  // of a multiprocessor
};

// Blocks of shared memory on a multiprocessor that are enough to hide one's wait.
inline constexpr int kResidentBlocks = 4;
// So much of small planes is staged together, if there are enough: memory answers late, and what
// was asked for by then has to keep it busy.
inline constexpr int kWantedBytes = 16 << 10;
// What any GPU gives a block without being asked.
inline constexpr int kMostSharedBytes = 48 << 10;

// A tile of the result and the source positions that it meets.
struct Tile {
  int thread_rows = 1;  // thread tiles, in the block's tile
  int thread_columns = 1;
  int rows = 0;  // of the result
  int columns = 0;
  int source_rows = 0;
  int source_columns = 0;
  int pitch = 0;     // elements of T from a row of the source to the next
  int64_t down = 0;  // tiles of a class
  int64_t across = 0;
};

// Blocks are counted with channels innermost in NHWC, outermost in NCHW, as memory is.
struct GatherPlan {
  int threads;
  int shared_bytes;
  Tile tile;
  // NHWC: words of channels in a block; a power of two. NCHW: 1.
  int lanes;
  // NCHW: planes, of an image's channel each, in a block, and those that its threads take at the
  // same time. NHWC: 1.
  int planes;
  int planes_at_once;
  int64_t channel_blocks;  // NCHW: blocks of planes
  int64_t blocks;

  GatherPlan(const conv::Geometry& geometry, const Windows& windows, const Device& device,
             int64_t channels, int element_bytes);
};

// The filter gradient. A block sums a *part* of all tiles for the channels that it has; of a part
// each thread's sums have at most kTerms terms, so that rounding errors stay those of short sums.
struct FilterGradPlan {
  static constexpr int kTerms = 256;
  // Blocks that keep any GPU of today busy. A constant: how sums are split into parts must not
  // depend on the device.
  static constexpr int64_t kBlocks = 256;
  static constexpr int kSharedBytes = 32 << 10;

  int shared_bytes;
  Tile tile;
  int lanes;     // NHWC: as above. NCHW: 1
  int channels;  // NCHW: channels in a block, each of whole warps
  int images;    // NCHW: images in a tile
  int64_t channel_blocks;
  int64_t tiles;  // of all images, for each block of channels
  int64_t tiles_of_part;
  int64_t parts;

  FilterGradPlan(const conv::Geometry& geometry, const Windows& windows, int element_bytes);
};

// The filter gradient by the general kernel: a part is a number of rows of out_backprop, of all
// images, taken row_threads at a time.
struct GeneralFilterGradPlan {
  int lanes;           // of channels, a power of two; NCHW: 1
  int column_threads;  // powers of two, too: with lanes they make kThreads
  int row_threads;
  int64_t channel_blocks;
  int64_t rows_of_part;
  int64_t parts;

  explicit GeneralFilterGradPlan(const conv::Geometry& geometry);
};

}  // namespace tf_dwbp::gpu
