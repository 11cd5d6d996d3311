// The epilogue of a gathering op's plan, as kernels take it: the bias is packed.
#pragma once

#include <cstdint>
#include <limits>

#include "cc/conv/problem.h"
#include "cc/cpu/kernels/jobs.h"
#include "cc/cpu/packed_filter.h"
#include "cc/cpu/workspace.h"

namespace tf_dwbp::cpu {

template <typename T>
class PackedEpilogue {
  using Acc = AccumulatorOf<T>;

 public:
  PackedEpilogue(const conv::Epilogue& epilogue, const ChannelBlocks& blocks,
                 WorkspaceLayout* layout)
      : epilogue_(epilogue),
        bias_(layout->add<Acc>(epilogue.bias ? blocks.count * blocks.lanes : 0)) {}

  // Packs the bias into the workspace. A call's job is for all channel blocks.
  EpilogueJob<Acc> pack(const conv::Gathering& gathering, const ChannelBlocks& blocks,
                        const void* bias, void* workspace) const {
    constexpr Acc kInfinity = std::numeric_limits<Acc>::infinity();
    const bool linear = epilogue_.activation == conv::Activation::kLinear;
    const bool relu6 = epilogue_.activation == conv::Activation::kRelu6;
    Acc* const packed = epilogue_.bias ? bias_.in(workspace) : nullptr;
    if (epilogue_.bias) pack_bias(gathering, blocks, static_cast<const T*>(bias), packed);
    return {packed, epilogue_.activation, Acc{epilogue_.alpha}, linear ? -kInfinity : 0,
            relu6 ? 6 : kInfinity};
  }

  bool empty() const { return epilogue_.empty(); }

 private:
  conv::Epilogue epilogue_;
  Part<Acc> bias_;
};

// The job of channel blocks from this one on.
template <typename Acc>
EpilogueJob<Acc> from_block(EpilogueJob<Acc> job, int64_t block, const ChannelBlocks& blocks) {
  if (job.bias != nullptr) job.bias += block * blocks.lanes;
  return job;
}

}  // namespace tf_dwbp::cpu
