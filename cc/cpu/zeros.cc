#include "cc/cpu/zeros.h"

#include <algorithm>
#include <cstring>

#include "cc/cpu/eigen_packets.h"
#include "cc/cpu/runtime/denormals.h"
#include "cc/cpu/runtime/paths.h"

namespace tf_dwbp::cpu {
namespace {

using conv::Problem;

// What an epilogue makes of sums of nothing: the same number for all positions of a channel.
template <typename T>
void fill_with_bias(const Problem& problem, const T* bias, T* result) {
  const conv::Geometry& g = problem.geometry;
  const ScopedIeeeDenormals ieee;
  const int64_t channels = g.out_channels(), positions = g.height.out * g.width.out;
  const bool nhwc = g.layout == conv::Layout::kNHWC;
  for (int64_t c = 0; c < channels; ++c) {
    AccumulatorOf<T> sum;
    eigen::convert(bias[c], &sum);
    T value;
    eigen::convert(static_cast<AccumulatorOf<T>>(conv::activate(problem.epilogue, sum)), &value);
    for (int64_t image = 0; image < g.batch; ++image) {
      T* to = result + image * channels * positions + (nhwc ? c : c * positions);
      const int64_t step = nhwc ? channels : 1;
      for (int64_t i = 0; i < positions; ++i) to[i * step] = value;
    }
  }
}

class Zeros : public Plan {
 public:
  using Plan::Plan;

  void run(const Tensors& tensors, const Parallel&) const override {
    count(Path::kZeros);
    const int64_t elements = result_elements(problem);
    if (elements == 0) return;
    // All activations of 0 are 0.
    if (!problem.epilogue.bias) {
      std::memset(tensors.result, 0, elements * bytes_of(problem.dtype));
      return;
    }
    with_dtype(problem.dtype, [&](auto t) {
      using T = decltype(t);
      fill_with_bias(problem, static_cast<const T*>(tensors.bias), static_cast<T*>(tensors.result));
    });
  }

  std::string describe() const override {
    return problem.epilogue.bias ? "the result has no products, and is the epilogue of zeros"
                                 : "the result has no products, and is zeros";
  }
};

}  // namespace

PlanPointer plan_zeros(const Problem& problem, int64_t workers) {
  return std::make_unique<Zeros>(problem, workers);
}

}  // namespace tf_dwbp::cpu
