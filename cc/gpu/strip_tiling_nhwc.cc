#include "cc/gpu/strip_tiling_nhwc.h"

#include <algorithm>
#include <limits>

#include "cc/conv/math.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;

// A cut into so many groups; false if it takes too much shared memory.
bool make_cut(const conv::Geometry& g, const Windows& w, int dtype_bytes, int groups,
              StripCutNhwc* cut) {
  const Configuration& c = w.configuration;
  const int columns = groups * strip_columns(dtype_bytes);
  cut->groups = groups;
  cut->source_columns = extent(c, columns);
  cut->channel_blocks = ceil_div(g.channels, kWarp);
  cut->tiles = ceil_div(w.width.positions(), columns);
  cut->chunk_elements = chunk_rows(c) * cut->source_columns * kWarp;
  cut->shared_bytes = 2 * cut->chunk_elements * dtype_bytes;
  return cut->shared_bytes <= kMostSharedBytes;
}

}  // namespace

std::string strips_decline_nhwc(const conv::Geometry& g, const Windows& w, Dtype dtype) {
  if (!has_strips_nhwc(w.configuration)) return "tiles are as fast for 3x3 taps";
  if (w.height.phase_stride != 1 || w.width.phase_stride != 1) return "its windows are dilated";
  const int vector = kVectorBytes / static_cast<int>(bytes_of(dtype));
  if (g.channels % vector != 0) {
    return std::to_string(g.channels) + " channels are no multiple of " + std::to_string(vector);
  }
  if (g.channels < kLeastChannelsOfStrip) {
    return std::to_string(g.channels) + " channels leave most of a warp idle";
  }
  // Elements of an image are counted by 32 bits.
  if (g.input_elements() / g.batch >= kMostElementsOfImage ||
      g.output_elements() / g.batch >= kMostElementsOfImage) {
    return "an image has more elements than 32 bits count";
  }
  return "";
}

StripCutNhwc cut_gather_nhwc(const conv::Geometry& g, const Windows& w, const Device& device,
                             Dtype dtype) {
  const int dtype_bytes = static_cast<int>(bytes_of(dtype));
  const Configuration& c = w.configuration;
  const int by_registers = gather_strips_nhwc_blocks(c, dtype_bytes);
  const int columns = strip_columns(dtype_bytes);
  // Instructions of a thread for a row of its results.
  const double of_row = c.taps * c.taps * columns / c.source_step +
                        2.0 * extent(c, columns) * c.result_step / c.source_step + 5 * columns;
  const double of_vector = kCostOfVectorNhwc;
  StripCutNhwc best;
  double least = std::numeric_limits<double>::infinity();
  const int most =
      static_cast<int>(std::min<int64_t>(kStripGroups, ceil_div(w.width.positions(), columns)));
  for (int groups = 1; groups <= most; ++groups) {
    StripCutNhwc cut;
    if (!make_cut(g, w, dtype_bytes, groups, &cut)) continue;
    const int threads = groups * kWarp;
    const int resident =
        std::max(1, std::min(by_registers * kStripGroups / groups,
                             device.shared_bytes / (cut.shared_bytes + device.reserved_bytes)));
    for (int64_t bands = 1, last = 0; last != 1 && bands <= 64; bands = bands * 3 / 2 + 1) {
      const int64_t rows = ceil_div(w.height.result, std::min<int64_t>(bands, w.height.result));
      if (rows == last) continue;
      last = rows;
      cut.rows = static_cast<int>(rows);
      cut.bands = ceil_div(w.height.result, rows);
      const double halo =
          cut.bands == 1 ? 0 : static_cast<double>(c.taps - 1) / c.result_step * c.source_step;
      const double staged = (static_cast<double>(rows) + halo) * c.result_step / c.source_step *
                            cut.source_columns * kWarp * dtype_bytes / kVectorBytes / threads;
      const double of_image =
          of_row * (static_cast<double>(rows) + 0.5 * halo) + of_vector * staged + kCostOfImage / 2;
      for (int64_t images = 1; images <= std::min<int64_t>(g.batch, kImagesOfStrip); ++images) {
        cut.images = images;
        cut.slices = ceil_div(g.batch, images);
        const auto blocks = static_cast<double>(ceil_div(cut.blocks(), device.multiprocessors));
        const double there = std::min<double>(blocks, resident) * threads;
        const double cost = blocks * threads *
                            (of_image * static_cast<double>(images) + kCostOfStartNhwc) /
                            std::min(1.0, there / kThreadsWantedNhwc);
        if (cost >= least) continue;
        least = cost;
        best = cut;
      }
    }
  }
  return best;
}

}  // namespace tf_dwbp::gpu
