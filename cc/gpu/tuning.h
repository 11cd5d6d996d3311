// Each number that was chosen for speed, with its unit and its reason: what the architecture's
// manuals say, and what ncu showed on an H200 (docs/gpu_results.md). Those marked (order) decide on
// the order of the filter gradient's sums, and so on its bits; none of the others decides what a
// result is.
#pragma once

#include <cstdint>

#include "cc/conv/attributes.h"
#include "cc/gpu/configurations.h"
#include "cc/gpu/device/properties.h"

namespace tf_dwbp::gpu {

// Blocks

// Threads of a block (order): few, so that while some blocks of a multiprocessor wait for their
// tiles, others multiply, whatever registers a thread takes.
inline constexpr int kThreads = 128;
// Blocks that share a multiprocessor, if their registers let them: enough to hide one's wait.
inline constexpr int kResidentBlocks = 4;
// Blocks for each multiprocessor that keep it busy: while one stages, another multiplies.
inline constexpr double kBlocksOfMultiprocessor = 2;
// Bytes (order). So much of small planes is staged together, if there are enough: memory answers
// late, and what was asked for by then has to keep it busy.
inline constexpr int kWantedBytes = 32 << 10;

// Thread tiles

// A thread's share: rows and columns of the result, and channels.
struct ThreadTile {
  int rows;
  int columns;
  int channels;
};

// The channels of one 32-bit word: neighbouring threads then read neighbouring banks.
constexpr int word_channels(int dtype_bytes) { return dtype_bytes < 4 ? 4 / dtype_bytes : 1; }

// Of gather. Sums, filter and a row of the staged tile have to fit into the registers of a thread,
// and a tile of some 30 positions takes about as long to load from shared memory as to multiply.
//   NHWC: neighbouring threads are neighbouring channels. Seven columns divide the images of
//   today's networks (7, 14, 28, ...), and being odd keep two tiles in a warp off each other's
//   banks.
//   NCHW: neighbouring threads are neighbouring columns, a vector each.
constexpr ThreadTile gather_tile(const Configuration& c, conv::Layout layout, int dtype_bytes) {
  const int word = word_channels(dtype_bytes);
  if (layout == conv::Layout::kNHWC) {
    // An even number of rows: both parities. Four of them only where registers are plenty.
    if (c.source_step == 2) return {c.taps == 7 || word > 1 ? 2 : 4, 8, word};
    return {c.taps == 3 && c.result_step == 1 && word == 1 ? 4 : 2, 7, word};
  }
  return {4, kVectorBytes / dtype_bytes, 1};
}

// Of the filter gradient (order): the sums are the filter's taps here.
// Two channels' 5x5 or 7x7 taps take too many registers.
constexpr ThreadTile filter_grad_tile(const Configuration& c, conv::Layout layout,
                                      int dtype_bytes) {
  const int word = c.taps >= 5 ? 1 : word_channels(dtype_bytes);
  if (layout == conv::Layout::kNHWC) return {1, 7, word};
  return {dtype_bytes < 4 ? 2 : 4, kVectorBytes / dtype_bytes, 1};
}

// NCHW: from a plane's filter in shared memory to the next, in elements, which makes whole vectors.
constexpr int filter_stride(const Configuration& c, int sum_bytes) {
  const int vector = kVectorBytes / sum_bytes;
  return (c.taps * c.taps + vector - 1) / vector * vector;
}

// Registers

// The blocks of a kernel that share a multiprocessor. The compiler is told so, and given all
// registers that this leaves a thread: 128 for four blocks, 168 for three, 255 for two. `values`
// are those that filter, sums and what else lives as long take. That nothing is left for memory is
// what tests/gpu/registers_test.py holds builds to.
constexpr int blocks_for(int values) {
  return values <= 48 ? kResidentBlocks : values <= 84 ? 3 : 2;
}

// Registers of a thread's filter, or its gradient, and of a tile of its sums or factors.
constexpr int registers_of(int taps, const ThreadTile& tile, int dtype_bytes) {
  const int words = dtype_bytes > 4 ? dtype_bytes / 4 : 1;
  return (taps * taps + tile.rows * tile.columns) * tile.channels * words;
}

// What ptxas needs besides, found by its spills.
constexpr int gather_blocks(const Configuration& c, conv::Layout layout, int dtype_bytes) {
  int besides = 0;
  if (layout == conv::Layout::kNHWC && c.taps == 7 && c.source_step == 2) besides = 16;
  if (layout == conv::Layout::kNCHW && !(c.result_step == 1 && c.source_step == 1)) besides = 12;
  return blocks_for(besides +
                    registers_of(c.taps, gather_tile(c, layout, dtype_bytes), dtype_bytes));
}

constexpr int filter_grad_blocks(const Configuration& c, conv::Layout layout, int dtype_bytes) {
  int besides = 0;
  if (layout == conv::Layout::kNHWC && c.result_step == 2) besides = 20;
  if (layout == conv::Layout::kNHWC && dtype_bytes == 2 && c.taps == 3) besides = 20;
  if (layout == conv::Layout::kNHWC && dtype_bytes == 8) besides = 24;
  return blocks_for(besides +
                    registers_of(c.taps, filter_grad_tile(c, layout, dtype_bytes), dtype_bytes));
}

// Block tiles (order). What a size costs is estimated: elements that move, times factors.

// NHWC: words of channels in a block, half a cache line or a whole one ...
inline constexpr int kMostLanes = 32;
inline constexpr int kLanes[] = {kMostLanes, 16};
// ... of which the half is slower, if a little.
inline constexpr double kCostOfHalfLine = 1.05;
// Thread tiles in a block's tile at most, down, and across in NHWC.
inline constexpr int kMostThreadRows = 32;
inline constexpr int kMostThreadColumns = 8;
// How much longer it takes if all threads were idle: they move as much as others while they wait.
inline constexpr double kCostOfIdleGather = 0.5;
inline constexpr double kCostOfIdleFilterGrad = 0.5;
// Elements. A block takes so much time besides: it begins, loads its filter and ends.
inline constexpr double kCostOfBlock = 1000;

// Filter gradient (order)

// Elements, for each tap. A block takes so much time to add up what its threads have.
inline constexpr double kCostOfSums = 80;

// Products. So long a sum is kept without compensation.
inline constexpr int kTermsOfSum = 256;
// Blocks that keep any GPU of today busy. Not the device's own number: how sums are split into
// parts must not depend on the device.
inline constexpr int64_t kBlocksWanted = 528;
// Elements whose parts a block adds up: 32 bytes, which memory moves at once. So few, that the
// parts are shared by many threads: each of their reads is waited for.
inline constexpr int kSumElements = 8;
// Bytes of shared memory that a block takes at most, unless its smallest tile is larger. Not a
// share of the device's own memory, for the same reason. A large tile is waited for once.
inline constexpr int kFilterGradBytes = 33 << 10;
// Elements. So much is lost at each tile, while it is waited for.
inline constexpr double kCostOfTile = 2000;
// The parts' sums take at most one such share of what the operands take: a workspace is to be small
// beside the tensors, and is written and read again.
inline constexpr int64_t kOperandsOfWorkspace = 2;
// NHWC: the threads of a block add up their sums in so many bytes of shared memory, if a row of
// taps fits, as many rows at a time as fit: each time takes two barriers.
inline constexpr int kBytesOfSums = 16 << 10;
constexpr int bytes_of_sums(int taps, int rows, int channels, int sum_bytes) {
  return kThreads * rows * taps * channels * sum_bytes;
}
constexpr int rows_of_sums(int taps, int channels, int sum_bytes) {
  int rows = taps;
  while (rows > 1 && bytes_of_sums(taps, rows, channels, sum_bytes) > kBytesOfSums) --rows;
  return rows;
}
// NCHW: channels in a block, each of whole warps.
inline constexpr int kChannelsOfBlock[] = {kThreads / kWarp, 2, 1};

// Strips

// Threads of a block at most, so many that the widths of images (7, 14, ... 224) fill them.
inline constexpr int kStripThreads = 224;
// Elements before and behind what is staged, which windows may meet there.
inline constexpr int kStripSlack = 8;
// Bytes of shared memory that a block takes at most.
inline constexpr int kStripBytes = kMostSharedBytes;
// Columns, from which on tiles are as fast or faster, for 16-bit types and whole vectors: of the
// filter gradient (order), and of the others with 3x3 taps.
inline constexpr int kWideRow = 48;
inline constexpr int kWideRowOfGather = 96;
// What a cut costs is estimated in instructions of a thread: of an image besides its rows, of a
// vector that is staged, of a block to start, which is waiting rather, and of a row that only rows
// of other bands meet, as a share of a row's. Chosen with 90 layers on an H200, each cut in 13
// ways.
inline constexpr double kCostOfImage = 200;
inline constexpr double kCostOfVector = 15;
inline constexpr double kCostOfStart = 3000;
inline constexpr double kShareOfHalo = 0.3;
// Threads of a multiprocessor that hide each other's waits.
inline constexpr double kThreadsWanted = 900;
// Images at most that a block takes, one after the other.
inline constexpr int kImagesOfStrip = 64;
// Filter gradient (order): the same, with the sums of threads that are added up; and the
// multiprocessors, and bytes of shared memory of each, of a device as those of today.
inline constexpr double kCostOfStripSums = 4000;
inline constexpr double kThreadsWantedOfSums = 500;
inline constexpr int kStripMultiprocessors = 132;
inline constexpr int kStripShared = 228 << 10;
inline constexpr int kBytesOfStripSums = 24 << 10;

// Rows of the result that a row, or two with stride 2, of the source adds to, and rows after which
// a thread's sums are where they were.
constexpr int strip_sums(const Configuration& c) {
  return c.source_step == 1 ? (c.taps - 1) / c.result_step + 1 : c.taps;
}
constexpr int strip_period(const Configuration& c) {
  return (strip_sums(c) + c.source_step - 1) / c.source_step;
}

// Registers of a thread that live as long as a strip.
constexpr int gather_strips_values(const Configuration& c, int dtype_bytes) {
  const int columns = (c.taps - 1) / c.source_step + 1;
  const int besides = c.result_step == 1 && c.source_step == 1 ? 0 : 8;
  return (c.taps * columns + strip_sums(c) + columns + besides) * (dtype_bytes > 4 ? 2 : 1);
}
constexpr int filter_grad_strips_values(const Configuration& c, int dtype_bytes) {
  const int out = (c.taps - 1) / c.result_step + 1;
  return (c.taps * c.taps + out + c.taps + 10) * (dtype_bytes > 4 ? 2 : 1);
}
// Blocks of a kernel that the compiler makes room for on a multiprocessor, found by its spills ...
constexpr int strip_blocks(int values) { return values <= 18 ? 3 : values <= 56 ? 2 : 1; }
// ... and those that there is room for, since ptxas takes fewer registers than it may.
constexpr int strip_blocks_resident(int values) { return values <= 56 ? 3 : values <= 88 ? 2 : 1; }

// Filter gradient: the threads' sums of so many rows of taps are added up together, by so many
// threads each (order).
inline constexpr int kThreadsOfSum = 4;
constexpr int bytes_of_strip_sums(int taps, int rows, int sum_bytes) {
  return kStripThreads * rows * taps * sum_bytes;
}
constexpr int rows_of_strip_sums(int taps, int sum_bytes) {
  int rows = taps;
  while (rows > 1 && bytes_of_strip_sums(taps, rows, sum_bytes) > kBytesOfStripSums) --rows;
  return rows;
}

// Strips in NHWC: elements of an image, counted by 32 bits, and columns of a thread, an even
// number, and groups of them in a block at most.
constexpr int strip_columns(int dtype_bytes) { return dtype_bytes > 4 ? 2 : 4; }
inline constexpr int kStripGroups = 8;
inline constexpr int kLeastChannelsOfStrip = 20;
inline constexpr int64_t kMostElementsOfImage = int64_t{1} << 27;
inline constexpr double kThreadsWantedNhwc = 400;
inline constexpr double kCostOfStartNhwc = 500;
inline constexpr double kCostOfVectorNhwc = 40;
// Where strips are worth their kernels: 3x3 taps have so few products that memory is what is waited
// for, and tiles are as fast.
constexpr bool has_strips_nhwc(const Configuration& c) { return c.taps > 3; }
constexpr int gather_strips_nhwc_blocks(const Configuration& c, int dtype_bytes) {
  const int columns = strip_columns(dtype_bytes);
  const int values =
      (c.taps * c.taps + strip_sums(c) * columns + extent(c, columns)) * (dtype_bytes > 4 ? 2 : 1);
  return values <= 96 ? 2 : 1;
}

// Staged windows

// Positions that a thread has of a column: the rows of images today are multiples (7, 14, 28, ...).
inline constexpr int kRun = 7;
// Taps of a task (order), whose sums a thread has in registers.
inline constexpr int kTapsOfTask = 4;
// Of a tile at most (order).
inline constexpr int kMostStagedRows = 256;
inline constexpr int kMostStagedColumns = 64;
// Positions that a window, a run or a padding reaches beyond what is staged, at most: a few of them
// times the elements of shared memory are 32-bit numbers.
inline constexpr int kMostBeyond = 1 << 13;
static_assert(int64_t{4} * kMostBeyond * kMostSharedBytes / 2 < int64_t{1} << 31);
// Bytes of the sums of a block's threads at most, and tiles of a part, unless its sums' workspace
// would be too large (order).
inline constexpr int kBytesOfTaskSums = 16 << 10;
inline constexpr int kTilesOfPart = 256;
// Bytes that memory moves at once (order).
inline constexpr int kSectorBytes = 32;
// Estimates (order), in instructions of a thread: of a window, a tap of it and a run, besides
// products; of a column and a row of it, for the filter gradient; of a block, which waits for its
// tile, and of one whose threads' sums are added up. Counted in the source: no GPU has told yet.
inline constexpr double kCostOfWindow = 34;
inline constexpr double kCostOfTap = 8;
inline constexpr double kCostOfRun = 110;
inline constexpr double kCostOfColumn = 30;
inline constexpr double kCostOfRow = 12;
inline constexpr double kCostOfStagedBlock = 400;
inline constexpr double kCostOfTaskSums = 800;
// Bytes that memory moves for a multiprocessor while it issues an instruction for each thread of a
// block (order).
inline constexpr double kBytesOfInstruction = 16;

// General gather

// Positions of a row, of one phase, that a thread gathers: the divisions are shared.
inline constexpr int kGeneralRun = 8;

}  // namespace tf_dwbp::gpu
