#include "cc/cpu/lines.h"

#include <algorithm>
#include <cstring>

#include "cc/cpu/cost.h"
#include "cc/cpu/far.h"
#include "cc/cpu/lines_worker.h"
#include "cc/cpu/packed_epilogue.h"
#include "cc/cpu/run_items.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/paths.h"
#include "cc/cpu/tuning.h"
#include "cc/cpu/zeros.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Gathering;
using conv::Problem;

// Repeats the first `count` elements until there are `size` of them.
template <typename Acc>
void repeat(Acc* to, int64_t count, int64_t size) {
  for (int64_t done = count; done < size; done *= 2) {
    std::memcpy(to + done, to, std::min(done, size - done) * sizeof(Acc));
  }
}

template <typename T>
class Lines : public Plan {
  using Acc = AccumulatorOf<T>;

 public:
  Lines(const Problem& problem, int64_t workers)
      : Plan(problem, workers),
        g_(gathering_of(problem)),
        blocks_(g_, lanes<T>()),
        filter_(g_, blocks_),
        plan_(g_, blocks_.lanes, sizeof(Acc), items_wanted(workers)),
        scratch_(plan_, blocks_.lanes, &worker_layout_),
        packed_filter_(layout_.add<Acc>(filter_.elements)),
        line_filter_(
            layout_.add<Acc>(plan_.plane ? 0 : filter_.block_stride * plan_.filter_vectors)),
        epilogue_(problem.epilogue, blocks_, &layout_),
        line_bias_(layout_.add<Acc>(
            plan_.plane || !problem.epilogue.bias ? 0 : blocks_.lanes * plan_.filter_vectors)),
        worker_parts_(worker_layout_, workers, &layout_) {
    workspace_bytes = layout_.bytes();
  }

  void run(const Tensors& tensors, const Parallel& parallel) const override {
    const bool forward = problem.op == conv::Op::kForward;
    LinesFilter<Acc> filter;
    EpilogueJob<Acc> epilogue;
    {
      const ScopedIeeeDenormals ieee;
      filter = pack(forward ? tensors.b : tensors.a, tensors.workspace);
      epilogue = epilogue_.pack(g_, blocks_, tensors.bias, tensors.workspace);
      if (!plan_.plane && epilogue.bias != nullptr) {
        Acc* const bias = line_bias_.in(tensors.workspace);
        spread_channels(epilogue.bias, blocks_.lanes, bias);
        epilogue.bias = bias;
      }
    }
    count(Path::kLines);
    if (!plan_.split.empty()) count(Path::kLinesSplit);
    if (!plan_.join.empty()) count(Path::kLinesJoined);
    const LinesCall<T> call{
        g_,
        plan_,
        blocks_,
        {static_cast<const T*>(forward ? tensors.a : tensors.b),
         {g_.layout, g_.source_channels(), g_.height.source(), g_.width.source()}},
        static_cast<T*>(tensors.result),
        {g_.layout, g_.channels, g_.height.result(), g_.width.result()},
        filter,
        epilogue_.empty() ? nullptr : &epilogue,
        lines_prefetch(problem, plan_)};
    run_items<LinesWorker<T>>(*this, plan_.items(), cycles_of(problem, g_, blocks_), parallel, call,
                              scratch_, worker_parts_, tensors.workspace);
  }

  std::string describe() const override {
    return "lines of " + std::to_string(g_.width.result() * plan_.channels) + " elements in " +
           std::to_string(plan_.phases.size()) + (plan_.phases.size() == 1 ? " phase" : " phases") +
           ", from " + std::to_string(g_.width.phase_shift() * g_.multiplier) +
           (g_.width.phase_shift() * g_.multiplier == 1 ? " strand" : " strands") + "; a ring of " +
           std::to_string(plan_.slots) + " rows; bands of " + std::to_string(plan_.band_rows) +
           " rows; " + std::to_string(plan_.items()) +
           " items: " + std::to_string(plan_.plane_blocks) + " blocks of " +
           (plan_.plane ? "planes" : "images") + " x " + std::to_string(plan_.row_blocks) +
           " of rows";
  }

 private:
  // From the channels' blocks, so many elements apart, to the vectors that follow each other in a
  // line, whose lanes are the channels again and again.
  void spread_channels(const Acc* from, int64_t block_stride, Acc* to) const {
    const int64_t lanes = std::min(blocks_.lanes, plan_.channels);
    for (int64_t block = 0; block < blocks_.count; ++block) {
      std::memcpy(to + blocks_.first_channel(block), from + block * block_stride,
                  lanes * sizeof(Acc));
    }
    repeat(to, plan_.channels, plan_.filter_vectors * blocks_.lanes);
  }

  LinesFilter<Acc> pack(const void* from, void* workspace) const {
    Acc* const packed = packed_filter_.in(workspace);
    pack_filter(g_, blocks_, filter_, static_cast<const T*>(from), packed);
    if (plan_.plane) {
      return {packed, filter_.multiplier_stride, filter_.row_stride, blocks_.lanes,
              filter_.block_stride};
    }
    Acc* const taps = line_filter_.in(workspace);
    const int64_t vectors = plan_.filter_vectors;
    for (int64_t tap = 0; tap < filter_.block_stride; tap += blocks_.lanes) {
      spread_channels(packed + tap, filter_.block_stride, taps + tap * vectors);
    }
    return {taps, filter_.multiplier_stride * vectors, filter_.row_stride * vectors,
            blocks_.lanes * vectors, 0};
  }

  const Gathering g_;
  const ChannelBlocks blocks_;
  const PackedFilter filter_;
  const LinesPlan plan_;
  WorkspaceLayout worker_layout_;
  const LinesScratch<T> scratch_;
  WorkspaceLayout layout_;
  const Part<Acc> packed_filter_;
  const Part<Acc> line_filter_;
  const PackedEpilogue<T> epilogue_;
  const Part<Acc> line_bias_;
  const WorkerParts worker_parts_;
};

}  // namespace

std::string lines_declines(const Problem& problem) {
  std::string none = declines_without_products(problem);
  if (!none.empty()) return none;
  const Gathering g = gathering_of(problem);
  const int64_t bytes = accumulator_bytes_of(problem.dtype);
  if (g.layout == conv::Layout::kNHWC && g.channels * bytes >= kWidestVectorBytes) {
    return std::to_string(g.channels) + " channels fill a vector";
  }
  const bool plane = g.layout == conv::Layout::kNCHW;
  const int64_t stride = std::max(g.width.phase_stride(), g.width.phase_shift());
  if (stride > (plane ? 1 : 2)) {
    return "the horizontal stride is more than " + std::to_string(plane ? 1 : 2);
  }
  if (stride == 2 && g.channels > kMostLineChannelsApart) {
    return "with a horizontal stride of 2, " + std::to_string(g.channels) +
           " channels are more than " + std::to_string(kMostLineChannelsApart);
  }
  if (!plane && g.multiplier * g.width.phase_shift() > 2) {
    return "what a line gathers from is more than 2 elements apart";
  }
  if (g.height.shift() > kMostLineShift) {
    return "rows that are summed together gather from rows more than " +
           std::to_string(kMostLineShift) + " steps apart";
  }
  const int64_t taps = g.width.most_taps();
  if (taps > kMostLongTaps) {
    return std::to_string(taps) + " horizontal taps are more than " + std::to_string(kMostLongTaps);
  }
  const int64_t elements = g.width.result() * (plane ? 1 : g.channels);
  const bool narrow = plane && bytes_of(problem.dtype) < bytes;
  const int64_t least = narrow ? kLeastNarrowLine : kLeastLine;
  if (elements < least) {
    return "lines of " + std::to_string(elements) + " elements have less than " +
           std::to_string(least);
  }
  // What is far too large is not planned to find that out.
  const int64_t source = g.width.source() * (plane ? 1 : g.source_channels());
  if (std::max(elements, source) > kMostPackedBytes / bytes) return "rows are too long for a cache";
  // The same for every instruction set.
  const LinesPlan plan(g, kWidestVectorBytes / bytes, bytes, /*items=*/1);
  if (plan.ring * bytes > kMostPackedBytes) return "rows are too long for a cache";
  if (plan.steps > kMostLineSteps) {
    return std::to_string(plan.steps) + " steps for a block of rows are more than " +
           std::to_string(kMostLineSteps);
  }
  const double moved = moved_bytes(problem.geometry, bytes_of(problem.dtype));
  if (plane && !narrow && elements >= kLongLine && moved >= kMostLinesBytes) {
    return "planes of long rows come from memory: both tensors have " +
           std::to_string(kMostLinesBytes) + " bytes or more";
  }
  return "";
}

PlanPointer plan_lines(const Problem& problem, int64_t workers) {
  return with_dtype(problem.dtype, [&](auto t) -> PlanPointer {
    return std::make_unique<Lines<decltype(t)>>(problem, workers);
  });
}

}  // namespace tf_dwbp::cpu
