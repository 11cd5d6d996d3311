// Tiles of the direct implementation: columns of the result that are summed together, straight from
// the source.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/conv/gather.h"
#include "cc/cpu/kernels/jobs.h"

namespace tf_dwbp::cpu {

// Whether neighbours gather from the same positions, through every other tap.
bool alternate(const conv::Gather& axis);

// Columns of one phase, or pairs of columns, whose taps are the even and the odd ones.
struct ColumnPhase {
  int64_t first_tap;
  int taps;
  int width;  // columns, or pairs, of each tile
  int64_t first_tile;
  int64_t tiles;
};

struct DirectTiles {
  // Columns are summed in pairs that gather from the same columns of the source, at most
  // `most_pairs` of them, if that is not 0; else at most `most_columns` columns a period apart.
  DirectTiles(const conv::Gather& width, int64_t channels, int most_columns, int most_pairs);

  bool pairs;
  // Columns this far apart, if not in pairs, gather from the same positions or from neighbours
  // among these.
  int64_t period;
  std::vector<ColumnPhase> phases;
  std::vector<DirectTile> tiles;

 private:
  void add_phase(const conv::Gather& width, int64_t channels, int64_t first, int64_t step,
                 int neighbours, int taps, int most);
};

}  // namespace tf_dwbp::cpu
