// The rows of a plane that line kernels read: where they lie in memory, or in a ring.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cc/conv/gather.h"
#include "cc/conv/problem.h"
#include "cc/cpu/far.h"
#include "cc/cpu/lines_bands.h"
#include "cc/cpu/lines_plan.h"
#include "cc/cpu/runtime/dispatch.h"
#include "cc/cpu/tensor_strides.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

// A tensor of a call.
template <typename T>
struct LineTensor {
  const T* first;
  TensorStrides strides;
};

// Whether to ask for what comes next. Rows of several channels are so long that the processor
// foresees them: asking costs more than it gains.
inline bool lines_prefetch(const conv::Problem& problem, const LinesPlan& plan) {
  return plan.plane && come_from_far(problem.geometry, bytes_of(problem.dtype));
}

// Asks for as many bytes as rows have that are worked on now and begin here, kLinesAheadBytes on.
inline void prefetch_after_rows(const void* rows, int64_t bytes) {
  const char* from = static_cast<const char*>(rows) + kLinesAheadBytes;
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

// The source of a call, as a worker reads it.
template <typename T>
class LineSource {
  using Acc = AccumulatorOf<T>;

 public:
  // Whether kernels may read the tensor itself: it has the type that they read, and its rows are
  // strands.
  static bool may_stay(const LinesPlan& plan) { return std::is_same_v<T, Acc> && plan.in_place; }

  LineSource(const conv::Gathering& gathering, const LinesPlan& plan, const LineTensor<T>& tensor,
             Acc* ring)
      : g_(gathering), plan_(plan), tensor_(tensor), ring_(ring) {}

  // From the tensor's first element to the plane's first one of the source.
  int64_t plane(int64_t image, int64_t channel) const {
    return image * tensor_.strides.image +
           channel / g_.repeat * g_.multiplier * tensor_.strides.channel;
  }

  // Where rows may be read in place at all, whether those of the plane from `begin` to `end` may:
  // what kernels read before and after them, to mask it out, has to be inside the tensor.
  bool stays(int64_t plane, int64_t begin, int64_t end) const {
    const int64_t first = plane + begin * tensor_.strides.row;
    const int64_t last = plane + std::max<int64_t>(0, end - 1) * tensor_.strides.row +
                         (g_.multiplier - 1) * tensor_.strides.channel;
    return first >= plan_.before && last + plan_.after <= g_.source_elements();
  }

  // What the jobs' offsets count from; in place if the types are the same.
  const Acc* in_place(int64_t plane) const {
    return reinterpret_cast<const Acc*>(tensor_.first + plane);
  }
  const Acc* ring() const { return ring_; }

  // Asks for what follows the band's rows where they are.
  void prefetch_after(int64_t plane, const LineBand& band) const {
    prefetch_after_rows(
        tensor_.first + plane + band.pack_begin * tensor_.strides.row,
        (band.pack_end - band.pack_begin) * tensor_.strides.row * int64_t{sizeof(T)});
  }

  // Copies rows of the plane to the ring.
  void pack(int64_t plane, const LineBand& band) {
    if (band.pack_begin >= band.pack_end) return;
    // Margins are read: what comes of them is masked out.
    if (!cleared_) std::memset(ring_, 0, plan_.ring * sizeof(Acc));
    cleared_ = true;
    const TensorStrides& from = tensor_.strides;
    for (int64_t m = 0; m < (plan_.plane ? g_.multiplier : 1); ++m) {
      const int64_t first = plane + m * from.channel + band.pack_begin * from.row;
      LineRows<T, Acc> rows{tensor_.first + first,
                            from.row,
                            g_.source_elements() - first,
                            ring_ + plan_.margin + m * plan_.multiplier_stride,
                            plan_.slot_stride,
                            band.slot,
                            plan_.slots,
                            band.pack_end - band.pack_begin,
                            plan_.strand_elements(0),
                            plan_.strand_stride - plan_.margin};
      if (plan_.split.empty()) {
        kernels<T>().widen(rows);
        continue;
      }
      for (size_t i = 0; i < plan_.split.size(); ++i, rows.to += plan_.strand_stride) {
        rows.elements = plan_.strand_elements(static_cast<int64_t>(i) % g_.width.phase_shift());
        kernels<T>().spread_in(
            {rows, plan_.split[i].data(), plan_.filter_vectors, plan_.split_advance});
      }
    }
  }

 private:
  const conv::Gathering& g_;
  const LinesPlan& plan_;
  const LineTensor<T> tensor_;
  Acc* const ring_;
  bool cleared_ = false;
};

}  // namespace tf_dwbp::cpu
