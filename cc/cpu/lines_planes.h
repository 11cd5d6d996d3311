// Planes of a source one after the other, each in bands, as a worker of the lines implementations
// takes them.
#pragma once

#include <cstdint>

#include "cc/conv/gather.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/lines_source.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

// The parts of a worker's workspace that they take.
template <typename T, typename Step>
struct LinePlanesScratch {
  using Acc = AccumulatorOf<T>;

  LinePlanesScratch(const LinesPlan& plan, WorkspaceLayout* layout)
      : ring(layout->add<Acc>(plan.ring)),
        bands(layout->add<LineBand>(plan.bands)),
        steps(layout->add<Step>(plan.steps)),
        bands_in_place(layout->add<LineBand>(LineSource<T>::may_stay(plan) ? plan.bands : 0)),
        steps_in_place(layout->add<Step>(LineSource<T>::may_stay(plan) ? plan.steps : 0)) {}

  Part<Acc> ring;
  Part<LineBand> bands;
  Part<Step> steps;
  Part<LineBand> bands_in_place;
  Part<Step> steps_in_place;
};

template <typename T, typename Step>
class LinePlanes {
  using Acc = AccumulatorOf<T>;

 public:
  // `prefetches`: what comes next.
  LinePlanes(const conv::Gathering& gathering, const LinesPlan& plan, const LineTensor<T>& source,
             bool prefetches, const LinePlanesScratch<T, Step>& scratch, void* workspace)
      : may_stay_(LineSource<T>::may_stay(plan)),
        prefetches_(prefetches),
        rows_of_band_(plan.band_rows),
        source_(gathering, plan, source, scratch.ring.in(workspace)),
        in_ring_(gathering, plan, scratch.bands.in(workspace), scratch.steps.in(workspace)),
        in_place_(gathering, plan, scratch.bands_in_place.in(workspace),
                  scratch.steps_in_place.in(workspace)) {}

  // Begins a block of rows of the plane that a channel of the result gathers from, and returns its
  // bands. `list(in_place)` returns the `list_steps` of LineBands::list().
  template <typename List>
  const LineBands<Step>& begin(int64_t image, int64_t channel, int64_t row_block,
                               const List& list) {
    plane_ = source_.plane(image, channel);
    stays_ = may_stay_;
    if (stays_) {
      in_place_.list(row_block, list(true));
      stays_ = source_.stays(plane_, in_place_.source_begin(), in_place_.source_end());
    }
    if (stays_) return in_place_;
    in_ring_.list(row_block, list(false));
    return in_ring_;
  }

  // Makes the rows ready that a band needs, and returns what the offsets of its jobs count from.
  // `other`: the band's rows of the other large tensor, `row_stride` elements apart.
  const Acc* take(const LineBand& band, const T* other, int64_t row_stride) {
    if (!stays_) source_.pack(plane_, band);
    if (prefetches_ && band.pack_begin < band.pack_end) {
      if (stays_) source_.prefetch_after(plane_, band);
      prefetch_after_rows(other, rows_of_band_ * row_stride * int64_t{sizeof(T)});
    }
    return stays_ ? source_.in_place(plane_) : source_.ring();
  }

 private:
  const bool may_stay_;
  const bool prefetches_;
  const int64_t rows_of_band_;
  LineSource<T> source_;
  LineBands<Step> in_ring_;
  LineBands<Step> in_place_;

  int64_t plane_ = 0;
  bool stays_ = false;  // the plane's rows are read where they are
};

}  // namespace tf_dwbp::cpu
