// How a call is cut for the kernels for staged windows: see kernels/staged.cuh.
#pragma once

#include <cstdint>
#include <string>

#include "cc/conv/dtype.h"
#include "cc/conv/gather.h"
#include "cc/conv/problem.h"
#include "cc/gpu/device/properties.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {

// One axis, cut so that nothing is divided: positions of the result in *runs*, taps in classes.
// From one position of a run to the next, and from a tap of a class to the one before, what is met
// moves by the same step. So the i-th position of a run meets at the k-th tap what position i - k
// meets at the first.
struct RunAxis {
  int run_step;     // from a position of a run to the next
  int tap_step;     // from a tap of a class to the next: unlike conv::Gather's, in all ops
  int source_step;  // between what they meet
  int classes;      // of a position
  int class_step;   // between what the first taps of neighbouring classes meet

  // Of the forward op, or of the input gradient.
  RunAxis(const conv::Axis& axis, bool forward);

  // Runs of `length` positions that cover so many positions, and where one of them begins.
  constexpr int phases(int positions) const { return run_step < positions ? run_step : positions; }
  constexpr int runs(int positions, int length) const {
    return phases(positions) *
           static_cast<int>(conv::ceil_div(positions, int64_t{run_step} * length));
  }
  constexpr int begin(int run, int positions, int length) const {
    const int of_phase = phases(positions);
    return run / of_phase * run_step * length + run % of_phase;
  }
};

// What the taps of a position meet: conv::TapRange within a block's tile, of the first class.
// Loaded at once.
struct alignas(kVectorBytes) Span {
  int tap;
  int source;
  int count;
};

// The result's tile that a block has, and what of the source. NHWC: some channels of an image's
// positions. NCHW: planes as they follow each other in memory, or a band of rows of one of the
// input, and of all that meet it.
struct StagedTile {
  int sources = 1;  // channels, or planes, of the source
  int results = 1;  // and of the result
  int rows = 0;     // of the result
  int columns = 0;
  int64_t down = 1;
  int64_t across = 1;
  int64_t channel_blocks = 1;  // NCHW: of all images' planes
  bool whole = false;          // NCHW: several planes of the input, staged whole
};

// NCHW: what is contiguous in memory is a line of a block's shared memory: all of its planes, or a
// plane's band. From the start of one to the next, in elements: a line begins anywhere.
template <typename Count>
constexpr Count staged_line(Count elements, int dtype_bytes) {
  const int vector = kVectorBytes / dtype_bytes;
  return (elements + vector - 1) / vector * vector + vector;
}

// The forward op and the input gradient.
struct StagedGatherCut {
  StagedTile tile;
  int tables_offset = 0;  // bytes, to the spans of columns and runs
  int shared_bytes = 0;
  int64_t blocks = 0;
};

// The filter gradient. A *task* is some taps of a column of the filter, whose sums a thread has in
// registers while it goes through a tile; its columns may be split among a few threads.
struct StagedSumsCut {
  StagedTile tile;  // of out_backprop: the result, as windows are counted
  int lanes = 1;    // NHWC: channels, NCHW: columns, that neighbouring threads have
  int tasks = 1;    // of a block
  int splits = 1;
  int tasks_of_column = 1;  // of the filter, in all blocks
  int64_t task_blocks = 1;
  int result_offset = 0;  // bytes, to the tile of out_backprop
  int sums_offset = 0;    // bytes, to the sums of threads
  int shared_bytes = 0;
  int64_t tiles = 0;  // of all images; NCHW: of a plane in all images
  int64_t tiles_of_part = 0;
  int64_t parts = 0;

  constexpr int64_t blocks() const { return parts * task_blocks * tile.channel_blocks; }
};

// Why no cut fits the problem; empty if one does.
std::string staged_cut_declines(const conv::Problem& problem);

StagedGatherCut cut_staged_gather(const conv::Problem& problem, const Device& device);
// Depends on no device, since it decides on the order of sums.
StagedSumsCut cut_staged_sums(const conv::Problem& problem);

}  // namespace tf_dwbp::gpu
