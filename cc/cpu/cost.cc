#include "cc/cpu/cost.h"

#include "cc/conv/math.h"
#include "cc/cpu/far.h"
#include "cc/cpu/tuning.h"

namespace tf_dwbp::cpu {

using conv::ceil_div;
using conv::Problem;

double cycles_of(const Problem& problem, double vectors, double products) {
  const int64_t element_bytes = bytes_of(problem.dtype);
  const bool curved = problem.epilogue.activation >= conv::Activation::kElu;
  const double of_memory = come_from_far(problem.geometry, element_bytes)
                               ? moved_bytes(problem.geometry, element_bytes) / kFarBytesOfCycle
                               : 0;
  return vectors * (kCyclesOfVector + products + (curved ? kCyclesOfCurve : 0)) + of_memory;
}

double cycles_of(const Problem& problem, const conv::Gathering& g, const ChannelBlocks& blocks) {
  const double vectors = static_cast<double>(g.height.result()) * g.width.result() * blocks.count *
                         ceil_div(g.batch, blocks.images);
  return cycles_of(problem, vectors, g.average_products());
}

double cycles_of(const Problem& problem, const FilterGradPlan& plan) {
  const conv::Geometry& g = problem.geometry;
  const double vectors = static_cast<double>(g.height.out) * g.width.out * plan.channel_blocks *
                         ceil_div(g.batch, plan.images);
  return cycles_of(problem, vectors, static_cast<double>(g.height.filter) * g.width.filter);
}

}  // namespace tf_dwbp::cpu
