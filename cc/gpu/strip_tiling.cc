#include "cc/gpu/strip_tiling.h"

#include <algorithm>
#include <limits>

#include "cc/conv/math.h"
#include "cc/gpu/tuning.h"

namespace tf_dwbp::gpu {
namespace {

using conv::ceil_div;

int64_t round_up(int64_t value, int unit) { return ceil_div(value, unit) * unit; }

// So many lines, wherever they begin. Neighbouring threads read neighbouring elements; where a
// row ends, the next thread's is another plane's, and is to be in the bank that comes next.
StripLines lines_of(int planes, int64_t elements, int64_t width, int dtype_bytes) {
  const int vector = kVectorBytes / dtype_bytes, banks = kBankBytes * kBanks / dtype_bytes;
  const int64_t least = round_up(elements + vector - 1, vector);
  const int64_t next = round_up(width, vector) % banks;
  const int64_t stride =
      planes == 1 ? least : round_up(std::max<int64_t>(0, least - next), banks) + next;
  return {static_cast<int>(stride), static_cast<int>(2 * kStripSlack + stride * planes)};
}

// A cut into so many planes and rows, of images of their own; `buffers` of the source and of the
// result. False if it takes more than so many bytes.
bool make_cut(const conv::Geometry& g, const Windows& w, int dtype_bytes, int planes, int64_t rows,
              int of_source, int of_result, int64_t most_bytes, StripCut* cut) {
  const int64_t bands = ceil_div(w.height.result, rows);
  const int64_t staged = std::min(w.height.source, extent(w.configuration, static_cast<int>(rows)));
  // Before anything is narrowed.
  if (staged * w.width.source > most_bytes || rows * w.width.result > most_bytes) return false;
  const StripLines source = lines_of(
      planes, staged * w.width.source,
      w.width.result * w.configuration.result_step / w.configuration.source_step, dtype_bytes);
  const StripLines result = lines_of(planes, rows * w.width.result, w.width.result, dtype_bytes);
  const int64_t bytes =
      (int64_t{of_source} * source.elements + int64_t{of_result} * result.elements) * dtype_bytes;
  if (bytes > most_bytes) return false;
  cut->planes = planes;
  cut->rows = static_cast<int>(rows);
  cut->bands = bands;
  cut->source = source;
  cut->result = result;
  cut->threads = static_cast<int>(round_up(int64_t{planes} * w.width.result, kWarp));
  cut->groups = ceil_div(g.channels, planes);
  cut->shared_bytes = static_cast<int>(bytes);
  return true;
}

// Calls try_cut(cut) for those that fit.
template <typename Try>
void for_each_cut(const conv::Geometry& g, const Windows& w, int dtype_bytes, int of_source,
                  int of_result, int64_t most_bytes, Try try_cut) {
  const int most = static_cast<int>(std::min<int64_t>(kStripThreads / w.width.result, g.channels));
  const auto warps = [&](int planes) { return ceil_div(int64_t{planes} * w.width.result, kWarp); };
  for (int planes = 1; planes <= most; ++planes) {
    const bool same_warps = planes < most && warps(planes) == warps(planes + 1);
    for (int64_t bands = 1, last = 0; last != 1; bands = bands * 3 / 2 + 1) {
      const int64_t rows = ceil_div(w.height.result, std::min<int64_t>(bands, w.height.result));
      const auto make = [&](int of_planes, StripCut* cut) {
        return make_cut(g, w, dtype_bytes, of_planes, rows, of_source, of_result, most_bytes, cut);
      };
      StripCut cut, next;
      // As many as the same warps take, and shared memory has room for.
      if (rows != last && make(planes, &cut) && !(same_warps && make(planes + 1, &next))) {
        try_cut(cut);
      }
      last = rows;
    }
  }
}

// What a cut costs a multiprocessor, in instructions of its threads, idle ones, too; more if the
// threads are too few to hide each other's waits. `of_row` is what a row of the result takes.
double cost_of(const StripCut& cut, const Windows& w, int multiprocessors, int resident,
               double of_row, double of_block, double wanted, int dtype_bytes) {
  const Configuration& c = w.configuration;
  const double halo = static_cast<double>(c.taps - 1) / c.result_step * c.source_step;
  const auto vectors = static_cast<double>(cut.source.elements) * dtype_bytes / kVectorBytes;
  const double of_image = of_row * (cut.rows + kShareOfHalo * halo) + kCostOfImage +
                          kCostOfVector * vectors / cut.threads;
  const auto blocks = static_cast<double>(ceil_div(cut.blocks(), multiprocessors));
  const double threads = std::min<double>(blocks, resident) * cut.threads;
  return blocks * cut.threads * (of_image * static_cast<double>(cut.images) + of_block) /
         std::min(1.0, threads / wanted);
}

// Blocks that share a multiprocessor, if it has so much shared memory.
int resident(const StripCut& cut, int by_registers, int shared_bytes, int reserved_bytes) {
  return std::max(1, std::min(by_registers * kStripThreads / cut.threads,
                              shared_bytes / (cut.shared_bytes + reserved_bytes)));
}

}  // namespace

std::string strips_decline(const conv::Geometry& g, const Windows& w, Dtype dtype,
                           bool filter_grad) {
  if (w.height.phase_stride != 1 || w.width.phase_stride != 1) return "its windows are dilated";
  if (w.width.result > kStripThreads) {
    return "a row of " + std::to_string(w.width.result) + " results is more than the " +
           std::to_string(kStripThreads) + " threads of a block";
  }
  StripCut cut;
  const int bytes = static_cast<int>(bytes_of(dtype));
  const Configuration& c = w.configuration;
  const bool whole = w.width.source % (kVectorBytes / bytes) == 0;
  if (bytes == 2 && c.result_step == 1 && c.source_step == 1 && whole &&
      w.width.result >= (filter_grad   ? kWideRow
                         : c.taps == 3 ? kWideRowOfGather
                                       : kStripThreads + 1)) {
    return "tiles are faster where wide rows are whole vectors";
  }
  if (!make_cut(g, w, bytes, 1, 1, 2, filter_grad ? 2 : 1, kStripBytes, &cut)) {
    return "a row's windows do not fit into shared memory";
  }
  return "";
}

StripCut cut_gather(const conv::Geometry& g, const Windows& w, const Device& device, Dtype dtype) {
  const int dtype_bytes = static_cast<int>(bytes_of(dtype));
  const Configuration& c = w.configuration;
  const int by_registers = strip_blocks_resident(gather_strips_values(c, dtype_bytes));
  // Products; elements are loaded and made wider; what is made is rounded and stored.
  const double columns = static_cast<double>((c.taps - 1) / c.source_step + 1);
  const double of_row = (c.taps + 2.0 * c.result_step) * columns / c.source_step + 6;
  StripCut best;
  double least = std::numeric_limits<double>::infinity();
  for_each_cut(g, w, dtype_bytes, 2, 1, kStripBytes, [&](StripCut cut) {
    const int blocks = resident(cut, by_registers, device.shared_bytes, device.reserved_bytes);
    for (int64_t images = 1; images <= std::min<int64_t>(g.batch, kImagesOfStrip); ++images) {
      cut.images = images;
      cut.slices = ceil_div(g.batch, images);
      const double cost = cost_of(cut, w, device.multiprocessors, blocks, of_row, kCostOfStart,
                                  kThreadsWanted, dtype_bytes);
      if (cost >= least) continue;
      least = cost;
      best = cut;
    }
  });
  return best;
}

StripCut cut_filter_grad(const conv::Geometry& g, const Windows& w, Dtype dtype) {
  const int dtype_bytes = static_cast<int>(bytes_of(dtype));
  const int taps = w.configuration.taps;
  const int sum_bytes = static_cast<int>(accumulator_bytes_of(dtype));
  const int by_registers =
      strip_blocks_resident(filter_grad_strips_values(w.configuration, dtype_bytes));
  const double of_row = taps * (taps + 2.0 * w.configuration.result_step) + 4;
  const int64_t parts_allowed = most_parts(g, dtype);
  StripCut best;
  double least = std::numeric_limits<double>::infinity();
  for_each_cut(g, w, dtype_bytes, 2, 2, kStripBytes, [&](StripCut cut) {
    // The threads' sums of a row of taps are there, too.
    cut.shared_bytes =
        std::max(cut.shared_bytes,
                 bytes_of_strip_sums(taps, rows_of_strip_sums(taps, sum_bytes), sum_bytes));
    const int blocks = resident(cut, by_registers, kStripShared, /*reserved_bytes=*/1 << 10);
    // The parts that are allowed may take longer sums.
    const int64_t of_part = ceil_div(g.batch, std::max<int64_t>(1, parts_allowed / cut.bands));
    const int64_t most =
        std::min<int64_t>(g.batch, std::max(of_part, int64_t{kTermsOfSum} / cut.rows));
    for (int64_t images = 1; images <= most; ++images) {
      cut.images = images;
      cut.slices = ceil_div(g.batch, images);
      // Sums that are too long are worse than anything but a workspace that is too large.
      const int64_t parts = cut.slices * cut.bands;
      const double worse = parts > parts_allowed             ? 1e12 * static_cast<double>(parts)
                           : images * cut.rows > kTermsOfSum ? 1e6
                                                             : 1;
      const double cost = worse * cost_of(cut, w, kStripMultiprocessors, blocks, of_row,
                                          kCostOfStripSums, kThreadsWantedOfSums, dtype_bytes);
      if (cost >= least) continue;
      least = cost;
      best = cut;
    }
  });
  return best;
}

}  // namespace tf_dwbp::gpu
